-- The one place that knows where a caller-ID stands. Every state has a pair of sorted sets, of the group and of the group
-- and area, always changed together; a caller-ID is a member of exactly one pair, and its hash says which.
local TAG = KEYS[1]

local function key(kind, rest)
  if not rest then return kind .. ':' .. TAG end
  return kind .. ':' .. TAG .. ':' .. rest
end

local function whole(n)
  return string.format('%.0f', n)
end

-- A caller-ID's hash as a table; nil where the inventory has no such number.
local FIELDS = {'st', 'sc', 'g', 'a', 'lu', 'n', 'mc', 'hl', 'hw', 'hn', 'dl', 'dw', 'dn', 'cd', 'cu', 'off', 'ru', 'pl', 'ca', 'me'}
local function caller(cid)
  local v = redis.call('HMGET', key('caller', cid), unpack(FIELDS))
  if not v[1] then return nil end
  return {
    cid = cid, st = v[1], sc = tonumber(v[2]), g = v[3], a = v[4], lu = tonumber(v[5]), n = tonumber(v[6]),
    mc = tonumber(v[7]), hl = tonumber(v[8]), hw = tonumber(v[9]), hn = tonumber(v[10]), dl = tonumber(v[11]),
    dw = tonumber(v[12]), dn = tonumber(v[13]), cd = tonumber(v[14]), cu = tonumber(v[15]), off = v[16],
    ru = tonumber(v[17]), pl = v[18] or '', ca = v[19] or '', me = v[20] or '',
  }
end

local function unfile(c)
  redis.call('ZREM', key(c.st, c.g), c.cid)
  redis.call('ZREM', key(c.st, c.g .. ':' .. c.a), c.cid)
  if c.pl ~= '' then
    redis.call('ZREM', key('pool', c.pl), c.cid)
    c.pl = ''
  end
end

-- Move a caller-ID to a state. `score` is what the state is ordered by: idle, warm and in_use by last use, waiting and
-- resting by the time they end.
local function file(c, state, score)
  if c.st == state and c.sc == score and state ~= 'warm' then return end
  unfile(c)
  c.st, c.sc = state, score
  redis.call('ZADD', key(state, c.g), score, c.cid)
  redis.call('ZADD', key(state, c.g .. ':' .. c.a), score, c.cid)
end

local function save(c)
  redis.call('HSET', key('caller', c.cid), 'st', c.st, 'sc', whole(c.sc), 'lu', whole(c.lu), 'n', c.n,
    'hw', whole(c.hw), 'hn', c.hn, 'dw', whole(c.dw), 'dn', c.dn, 'cu', whole(c.cu), 'off', c.off,
    'ru', whole(c.ru), 'pl', c.pl)
end
