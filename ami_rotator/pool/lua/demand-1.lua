-- demand: take over what this daemon counted, let the memory of demand fade, once an interval whoever asks, and return it.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  interval in ms  [2] share kept an interval  [3] how many areas to return  [4] id of this count  [5...] pool
--      `campaign|area`, calls ...
-- returns  pool, score, ... most asked first. A steady c calls an interval has the score c / (1 - share).
--- include filing
local areas = key('demand')
if #ARGV > 4 and redis.call('SET', key('demand-counted', ARGV[4]), '1', 'NX', 'PX', 60000) then
  for i = 5, #ARGV, 2 do redis.call('ZINCRBY', areas, ARGV[i + 1], ARGV[i]) end
end
if redis.call('SET', key('demand-faded'), '1', 'NX', 'PX', ARGV[1]) then
  redis.call('ZUNIONSTORE', areas, 1, areas, 'WEIGHTS', ARGV[2])
  -- One call is remembered for about six minutes: an area that is called that seldom still finds its one caller-ID warm.
  redis.call('ZREMRANGEBYSCORE', areas, '-inf', 0.0005)
end
return redis.call('ZREVRANGE', areas, 0, tonumber(ARGV[3]) - 1, 'WITHSCORES')
