-- depths: how many caller-IDs are held in warm pools.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1...]  pools `campaign|area`
-- returns  a count for each
--- include filing
work_on(KEYS[1])
local depths = {}
for i, pool in ipairs(ARGV) do depths[i] = redis.call('ZCARD', key('pool', pool)) end
return depths
