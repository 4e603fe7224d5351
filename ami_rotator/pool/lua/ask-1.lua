-- ask: for the caller-IDs of calls. Without what only `tell` needs: a script's functions are made anew at every run.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1] [2] [3] zone  [4...] for each: 'assign', how many arguments, the arguments (include/assign.lua, together.lua)
-- returns  the answer to each
--- include clock filing whole windows outbox memory reservations choosing policy question assign together
local ASKED = {assign = assign}
local function run(keys, args)
  begin(keys[1])
  return together(ASKED, args)
end
return run(KEYS, ARGV)
