-- ratelimit: count one use of each subject against so many a minute, spread evenly after a first burst (GCRA). The first that is
-- over its limit ends it: those after it are not counted. A call that is sent twice counts twice: that costs its subjects one
-- use, and nobody anything else.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1...]  in turn: what is limited and whose it is, as kind:subject; uses a minute
-- returns  {0, 0} where all are within their limits, else {place of the one that is not, milliseconds until its next use is}
--- include clock
local now = now_ms(KEYS[1])
for i = 1, #ARGV, 2 do
  local key = 'rate:' .. KEYS[1] .. ':' .. ARGV[i]
  local apart = 60000 / tonumber(ARGV[i + 1])
  -- When the subject's uses so far would all be spread out.
  local spread = math.max(tonumber(redis.call('GET', key) or '0'), now)
  local wait = spread - now - (60000 - apart)
  if wait > 0.5 then return {(i + 1) / 2, math.ceil(wait)} end
  redis.call('SET', key, string.format('%.3f', spread + apart), 'PX', 60000 + math.ceil(apart))
end
return {0, 0}
