-- look: tell how caller-IDs stand, with the counts of the windows that run now.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1] [2] [3] zone  [4...] caller-IDs
-- returns  for each that there is JSON of its record (include/filing.lua), with free_at: when it may be used again, ms
--- include clock filing windows
begin(KEYS[1])
set_zone(ARGV[1], ARGV[2], ARGV[3])
local found = {}
for i = 4, #ARGV do
  local c = caller(ARGV[i])
  if c then
    roll(c)
    c.free_at = math.max(eligible_at(c), c.ru)
    found[#found + 1] = cjson.encode(c)
  end
end
return found
