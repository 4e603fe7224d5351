-- ratelimit: count one use of a subject against so many a minute, spread evenly after a first burst (GCRA). A call that is
-- sent twice counts twice: that costs its subject one use, and nobody anything else.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  what is limited and whose it is, as kind:subject  [2] uses a minute
-- returns  0 where it is within the limit, else the milliseconds until the next use is
--- include clock
local key = 'rate:' .. KEYS[1] .. ':' .. ARGV[1]
local now = now_ms()
local apart = 60000 / tonumber(ARGV[2])
-- When the subject's uses so far would all be spread out.
local spread = math.max(tonumber(redis.call('GET', key) or '0'), now)
local wait = spread - now - (60000 - apart)
if wait > 0.5 then return math.ceil(wait) end
redis.call('SET', key, string.format('%.3f', spread + apart), 'PX', 60000 + math.ceil(apart))
return 0
