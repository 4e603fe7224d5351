-- warm: bring a warm pool to its depth. Takes the least recently used of the given groups in the area; gives back the most
-- recently used when there are too many. A depth of 0 closes the pool.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  pool `campaign|area`  [2] depth  [3] [4] [5] zone  [6] area  [7...] groups in order
-- returns  the depth reached
--- include clock filing windows choosing
local now = now_ms()
local w = windows(now, tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
local pool, depth = ARGV[1], tonumber(ARGV[2])
local set = key('pool', pool)
local have = redis.call('ZCARD', set)

if have > depth then
  for _, cid in ipairs(redis.call('ZRANGE', set, depth, -1)) do
    local c = caller(cid)
    unfile(c)
    c.st, c.sc = 'idle', -1
    settle(c, now, w)
    save(c)
  end
  have = depth
end

for i = 7, #ARGV do
  local place = ARGV[i] .. ':' .. ARGV[6]
  if have < depth then
    promote('waiting', place, now, w, depth - have)
    for _, cid in ipairs(redis.call('ZRANGE', key('idle', place), 0, depth - have - 1)) do
      local c = caller(cid)
      if c.n == 0 then
        file(c, 'warm', c.lu)
        c.pl = pool
        redis.call('ZADD', set, c.lu, cid)
        save(c)
        have = have + 1
      end
    end
  end
end

if depth == 0 then
  redis.call('SREM', key('pools'), pool)
else
  redis.call('SADD', key('pools'), pool)
end
return have
