-- tell: what happened to calls that have their caller-ID.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1] [2] [3] zone  [4...] for each: 'confirm' | 'release', how many arguments, the arguments (include/confirm.lua,
--      release.lua, together.lua)
-- returns  the answer to each
--- include clock filing whole windows outbox memory reservations confirm release together
local ASKED = {confirm = confirm, release = release}
local function run(keys, args)
  begin(keys[1])
  return together(ASKED, args)
end
return run(KEYS, ARGV)
