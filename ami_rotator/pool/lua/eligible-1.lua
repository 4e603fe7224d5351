-- eligible: how many caller-IDs a call could have now, at places.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1...]  groups and places ('' is all of the group) in turn
-- returns  a count for each
--- include filing
work_on(KEYS[1])
local counts = {}
for i = 1, #ARGV, 2 do
  local sum = 0
  for _, leaf in ipairs(redis.call('SMEMBERS', key('leaves', ARGV[i] .. ':' .. ARGV[i + 1]))) do
    local at = ARGV[i] .. ':' .. leaf
    sum = sum + redis.call('ZCARD', key('idle', at)) + redis.call('ZCARD', key('warm', at))
  end
  counts[#counts + 1] = sum
end
return counts
