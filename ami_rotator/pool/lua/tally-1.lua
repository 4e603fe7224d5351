-- tally: how many caller-IDs are in each state, at some leaves of a group.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  group  [2] how many states  [3...] states, then leaves
-- returns  the count of each state
--- include filing
work_on(KEYS[1])
local counts, states = {}, tonumber(ARGV[2])
for i = 3, 2 + states do
  local sum = 0
  for n = 3 + states, #ARGV do sum = sum + redis.call('ZCARD', key(ARGV[i], ARGV[1] .. ':' .. ARGV[n])) end
  counts[#counts + 1] = sum
end
return counts
