-- put: take caller-IDs into the pool, or change those that are there. Counters, last use and live calls are kept, and each
-- is filed anew at once, so that an edit works from the next call on.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  generation  [2] [3] [4] zone  [5...] eleven a caller-ID: number, area, group, hourly limit, daily limit,
--      cool-down s, live calls at once, '' | 'resting' | 'disabled', resting until ms, carrier, meta
-- returns  how many were new
--- include clock filing windows
local now = now_ms()
local w = windows(now, tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]))
local generation, new = tonumber(ARGV[1]), 0
for i = 5, #ARGV, 11 do
  local cid, area, group = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local c = caller(cid)
  if c then
    if c.g ~= group or c.a ~= area then
      unfile(c)
      c.st, c.sc = 'idle', -1
    end
  else
    new = new + 1
    c = {cid = cid, st = 'idle', sc = -1, g = group, a = area, lu = 0, n = 0, hw = 0, hn = 0, dw = 0, dn = 0, cu = 0, pl = ''}
  end
  c.g, c.a, c.hl, c.dl, c.cd = group, area, tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
  c.mc, c.off, c.ru = tonumber(ARGV[i + 6]), ARGV[i + 7], tonumber(ARGV[i + 8])
  settle(c, now, w)
  save(c)
  local seen = tonumber(redis.call('HGET', key('caller', cid), 'gen') or '0')
  redis.call('HSET', key('caller', cid), 'g', group, 'a', area, 'hl', c.hl, 'dl', c.dl, 'cd', c.cd, 'mc', c.mc,
    'gen', math.max(generation, seen))
  for n, field in ipairs({'ca', 'me'}) do
    if ARGV[i + 8 + n] ~= '' then
      redis.call('HSET', key('caller', cid), field, ARGV[i + 8 + n])
    else
      redis.call('HDEL', key('caller', cid), field)
    end
  end
  redis.call('SADD', key('groups'), group)
end
return new
