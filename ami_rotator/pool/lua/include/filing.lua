-- The one place that knows where a caller-ID stands.
--
-- A caller-ID is one packed record, and a member of exactly one sorted set: of its state, group and leaf. A leaf is what is
-- looked for together: `area|place|place#attestation`. What a rung looks in is a place: a set of leaves a state, each with a
-- lower bound of its first member's score. Bounds are lowered when a caller-ID is filed, and raised when they are read
-- (include/choosing.lua), so that a caller-ID changes one set however many places it is in.
local TAG, TAG_
-- States that are looked for by place.
local BY_PLACE = {idle = true, warm = true, waiting = true, resting = true}
-- When a rest ends that has no end.
local NEVER = 9e15

-- A script begins with this, or with `begin` (include/windows.lua): all that it does is about one inventory.
local function work_on(tag)
  TAG = ':' .. tag
  TAG_ = TAG .. ':'
end

local function key(kind, rest)
  if not rest then return kind .. TAG end
  return kind .. TAG_ .. rest
end

local function whole(n)
  return string.format('%.0f', n)
end

-- A caller-ID from its record; nil where there is none.
local function caller_from(cid, text)
  if not text then return nil end
  local v = cmsgpack.unpack(text)
  return {
    cid = cid, st = v[1], sc = v[2], g = v[3], leaf = v[4], lu = v[5], n = v[6], mc = v[7], ml = v[8], hl = v[9], dl = v[10],
    sl = v[11], mw = v[12], mn = v[13], hw = v[14], hn = v[15], dw = v[16], dn = v[17], cd = v[18], cu = v[19], off = v[20],
    ru = v[21], pl = v[22], z = v[23], gen = v[24], ca = v[25], me = v[26],
  }
end

-- A caller-ID; nil where the inventory has no such number.
local function caller(cid)
  return caller_from(cid, redis.call('GET', key('number', cid)))
end

local function packed(c)
  return cmsgpack.pack({
    c.st, c.sc, c.g, c.leaf, c.lu, c.n, c.mc, c.ml, c.hl, c.dl, c.sl, c.mw, c.mn, c.hw, c.hn, c.dw, c.dn, c.cd, c.cu, c.off,
    c.ru, c.pl, c.z, c.gen, c.ca, c.me,
  })
end

local function save(c)
  redis.call('SET', key('number', c.cid), packed(c))
end

local function area_of(c)
  return string.match(c.leaf, '^[^|#]*')
end

local function attestation_of(leaf)
  return string.match(leaf, '#(%a)$') or ''
end

-- The places of a leaf: all of the group (''), its area, and what else it is filed under.
local function places_of(leaf)
  local places = {''}
  for place in string.gmatch(string.match(leaf, '^[^#]*'), '[^|]+') do places[#places + 1] = place end
  return places
end

-- Take a caller-ID out of its set; it then stands nowhere (its score is -1) until it is filed.
local function unfile(c)
  if c.sc >= 0 then redis.call('ZREM', key(c.st, c.g .. ':' .. c.leaf), c.cid) end
  if c.pl ~= '' then
    redis.call('ZREM', key('pool', c.pl), c.cid)
    c.pl = ''
  end
  c.st, c.sc = 'idle', -1
end

-- Move a caller-ID to a state. `score` is what the state is ordered by: idle, warm and in_use by last use, waiting and
-- resting by the time they end.
local function file(c, state, score)
  if c.st == state and c.sc == score and state ~= 'warm' then return end
  if c.st ~= state or c.pl ~= '' then unfile(c) end
  c.st, c.sc = state, score
  local set = key(state, c.g .. ':' .. c.leaf)
  redis.call('ZADD', set, score, c.cid)
  if BY_PLACE[state] and redis.call('ZRANK', set, c.cid) == 0 then
    for _, place in ipairs(places_of(c.leaf)) do
      redis.call('ZADD', key(state .. '-at', c.g .. ':' .. place), 'LT', score, c.leaf)
    end
  end
end

-- Remember that a leaf is in use; what a place has altogether is read from here.
local function register(c)
  redis.call('SADD', key('groups'), c.g)
  for _, place in ipairs(places_of(c.leaf)) do redis.call('SADD', key('leaves', c.g .. ':' .. place), c.leaf) end
end

local function remove(c)
  unfile(c)
  redis.call('DEL', key('number', c.cid))
end
