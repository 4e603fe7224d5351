-- members: name caller-IDs of a group in a state, those that the state orders first leaf by leaf.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  group  [2] state  [3] how many at the most
-- returns  their numbers
--- include filing
work_on(KEYS[1])
local found, most = {}, tonumber(ARGV[3])
for _, leaf in ipairs(redis.call('SMEMBERS', key('leaves', ARGV[1] .. ':'))) do
  if #found >= most then break end
  for _, cid in ipairs(redis.call('ZRANGE', key(ARGV[2], ARGV[1] .. ':' .. leaf), 0, most - #found - 1)) do
    found[#found + 1] = cid
  end
end
return found
