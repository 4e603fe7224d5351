-- tally: how many caller-IDs of a group are in each state, for a page of its leaves.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  group  [2] cursor  [3...] states
-- returns  {next cursor, leaves in this page, the count of each state}
--- include filing
local page = redis.call('SSCAN', key('leaves', ARGV[1] .. ':'), ARGV[2], 'COUNT', 100)
local counts = {page[1], page[2]}
for i = 3, #ARGV do
  local sum = 0
  for _, leaf in ipairs(page[2]) do sum = sum + redis.call('ZCARD', key(ARGV[i], ARGV[1] .. ':' .. leaf)) end
  counts[#counts + 1] = sum
end
return counts
