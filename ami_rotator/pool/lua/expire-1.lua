-- expire: end the reservations whose time is over, a few at a time. They count as used: nobody said otherwise.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  how many at the most  [2] [3] [4] zone
-- returns  the ids that ended
--- include clock filing whole windows outbox memory reservations
begin(KEYS[1])
-- Who has brought nothing back yet could not renew anything either.
if not is_whole(redis.call('GET', key('epoch'))) then return {} end
set_zone(ARGV[2], ARGV[3], ARGV[4])
local ids = redis.call('ZRANGEBYSCORE', key('expiries'), '-inf', NOW, 'LIMIT', 0, tonumber(ARGV[1]))
for _, id in ipairs(ids) do
  local r = reservation(id)
  if r then
    finish(r, 'expired', '0', '0', '0', true)
  else
    redis.call('ZREM', key('expiries'), id)
  end
end
return ids
