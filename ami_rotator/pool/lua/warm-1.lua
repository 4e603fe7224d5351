-- warm: bring warm pools to their depths. Takes the least recently used of the given groups in the area; gives back the most
-- recently used when there are too many. A depth of 0 closes the pool.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1] [2] [3] zone  [4] how many caller-IDs may move in each: Redis serves nobody else meanwhile
--      [5...] for each: pool `campaign|area`, depth, area, attestations allowed ('' any), how many groups, the groups in order
-- returns  for each, the depth that it has now, and how many moved
--- include clock filing windows choosing
local function let_go(set, from)
  local back = redis.call('ZRANGE', set, from, -1)
  for _, cid in ipairs(back) do
    local c = caller(cid)
    unfile(c)
    settle(c)
    save(c)
  end
  return #back
end

local function take(set, pool, area, att, group, most)
  local q, taken = {unused = true, att = att ~= '' and att or nil}, 0
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
  local set, moved = key('pool', pool), 0
  local have = redis.call('ZCARD', set)
  if have > depth then
    moved = let_go(set, math.max(depth, have - most))
  elseif have < depth then
    most = math.min(most, depth - have)
    local ripe = most
    for _, group in ipairs(groups) do
      if ripe > 0 then ripe = ripe - promote('waiting', group, area, ripe) end
      if moved < most then moved = moved + take(set, pool, area, att, group, most - moved) end
    end
  end
  have = redis.call('ZCARD', set)
  redis.call(have == 0 and depth == 0 and 'SREM' or 'SADD', key('pools'), pool)
  return {have, moved}
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
