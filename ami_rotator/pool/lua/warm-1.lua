-- warm: bring warm pools to their depths. Takes the least recently used of the given groups in the area; gives back the most
-- recently used when there are too many. A depth of 0 closes the pool.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1] [2] [3] zone  [4] how many caller-IDs may move in each: Redis serves nobody else meanwhile
--      [5...] for each: pool `campaign|area`, depth, area, attestations allowed ('' any), how many groups, the groups in order
-- returns  the depth that each has now
--- include clock filing windows choosing
local function let_go(set, from)
  for _, cid in ipairs(redis.call('ZRANGE', set, from, -1)) do
    local c = caller(cid)
    unfile(c)
    settle(c)
    save(c)
  end
end

local function take(set, pool, area, att, group, most)
  local q, taken = {unused = true, att = att ~= '' and att or nil}, 0
  promote('waiting', group, area, most)
  while taken < most do
    local c = first_at('idle', group, area, q)
    if not c then break end
    file(c, 'warm', c.lu)
    c.pl = pool
    redis.call('ZADD', set, c.lu, c.cid)
    save(c)
    taken = taken + 1
  end
  return taken
end

local function bring(pool, depth, area, att, groups, most)
  local set = key('pool', pool)
  local have = redis.call('ZCARD', set)
  if have > depth then
    let_go(set, math.max(depth, have - most))
  elseif have < depth then
    most = math.min(most, depth - have)
    for _, group in ipairs(groups) do
      if most > 0 then most = most - take(set, pool, area, att, group, most) end
    end
  end
  have = redis.call('ZCARD', set)
  redis.call(have == 0 and depth == 0 and 'SREM' or 'SADD', key('pools'), pool)
  return have
end

local function run(keys, args)
  begin(keys[1])
  set_zone(args[1], args[2], args[3])
  local depths, at = {}, 5
  while args[at] do
    local last = at + 4 + args[at + 4]
    local groups = {unpack(args, at + 5, last)}
    depths[#depths + 1] = bring(args[at], tonumber(args[at + 1]), args[at + 2], args[at + 3], groups, tonumber(args[4]))
    at = last + 1
  end
  return depths
end
return run(KEYS, ARGV)
