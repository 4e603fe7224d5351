-- demand: take over what this daemon counted, and let the memory of demand fade, once an interval whoever asks.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  interval in ms  [2] share kept an interval  [3] id of this count  [4...] pool `campaign|area`, calls ...
-- returns  nothing. The sorted set `demand` has each pool's score: of steady c calls an interval it is c / (1 - share).
--- include filing
work_on(KEYS[1])
local areas = key('demand')
if #ARGV > 3 and redis.call('SET', key('demand-counted', ARGV[3]), '1', 'NX', 'PX', 60000) then
  for i = 4, #ARGV, 2 do redis.call('ZINCRBY', areas, ARGV[i + 1], ARGV[i]) end
end
if redis.call('SET', key('demand-faded'), '1', 'NX', 'PX', ARGV[1]) then
  redis.call('ZUNIONSTORE', areas, 1, areas, 'WEIGHTS', ARGV[2])
  -- One call is remembered for about six minutes: an area that is called that seldom still finds one warm.
  redis.call('ZREMRANGEBYSCORE', areas, '-inf', 0.0005)
end
