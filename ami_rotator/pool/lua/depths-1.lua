-- depths: how many caller-IDs are held in each warm pool, a page of pools at a time.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  cursor
-- returns  {next cursor, names of the pools in this page, how many each holds}
--- include filing
local page = redis.call('SSCAN', key('pools'), ARGV[1], 'COUNT', 500)
local depths = {}
for i, pool in ipairs(page[2]) do depths[i] = redis.call('ZCARD', key('pool', pool)) end
return {page[1], page[2], depths}
