-- warm: bring a warm pool to its depth. Takes the least recently used of the given groups in the area; gives back the most
-- recently used when there are too many. A depth of 0 closes the pool.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  pool `campaign|area`  [2] depth  [3] [4] [5] zone  [6] area  [7] attestations allowed ('' any)  [8...] groups in order
-- returns  the depth reached
--- include clock filing windows choosing
begin(KEYS[1])
set_zone(ARGV[3], ARGV[4], ARGV[5])
local pool, depth = ARGV[1], tonumber(ARGV[2])
local set = key('pool', pool)
local have = redis.call('ZCARD', set)

if have > depth then
  for _, cid in ipairs(redis.call('ZRANGE', set, depth, -1)) do
    local c = caller(cid)
    unfile(c)
    settle(c)
    save(c)
  end
  have = depth
end

local q = {unused = true, att = ARGV[7] ~= '' and ARGV[7] or nil}
for i = 8, #ARGV do
  if have < depth then promote('waiting', ARGV[i], ARGV[6], depth - have) end
  while have < depth do
    local c = first_at('idle', ARGV[i], ARGV[6], q)
    if not c then break end
    file(c, 'warm', c.lu)
    c.pl = pool
    redis.call('ZADD', set, c.lu, c.cid)
    save(c)
    have = have + 1
  end
end

if depth == 0 then
  redis.call('SREM', key('pools'), pool)
else
  redis.call('SADD', key('pools'), pool)
end
return have
