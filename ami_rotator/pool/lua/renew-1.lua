-- renew: these calls are still up; their reservations live on.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  lifetime in ms  [2...] reservation ids
-- returns  the ids that are no longer live;  error NOTWHOLE until everything is brought back (include/whole.lua)
--- include clock filing whole windows outbox memory reservations
begin(KEYS[1])
if not is_whole(redis.call('GET', key('epoch'))) then return not_whole() end
local expires = NOW + tonumber(ARGV[1])
local gone = {}
for i = 2, #ARGV do
  if redis.call('ZSCORE', key('expiries'), ARGV[i]) then
    redis.call('ZADD', key('expiries'), 'XX', 'GT', expires, ARGV[i])
  else
    gone[#gone + 1] = ARGV[i]
  end
end
return gone
