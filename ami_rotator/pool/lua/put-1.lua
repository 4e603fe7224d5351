-- put: take caller-IDs into the pool, or change those that are there. Counters, last use and live calls are kept, and each
-- is filed anew at once, so that an edit works from the next call on.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  generation  [2] [3] [4] zone  [5...] fourteen a caller-ID: number, leaf (include/filing.lua), group, limits a minute,
--      an hour and a day, soft limit a day, cool-down s, live calls at once, '' | 'resting' | 'disabled', resting until ms,
--      zone ('' the inventory's), carrier, meta
-- returns  {how many were new, how many were there and differed}
--- include clock filing windows
begin(KEYS[1])
set_zone(ARGV[2], ARGV[3], ARGV[4])
local generation, new, different = tonumber(ARGV[1]), 0, 0
local SIZE, registered = 14, {}

-- All of a caller-ID that the inventory says.
local function said(c)
  return {c.g, c.leaf, c.ml, c.hl, c.dl, c.sl, c.cd, c.mc, c.off, c.ru, c.z, c.ca, c.me}
end

local function is_said(c, before)
  for i, value in ipairs(said(c)) do
    if value ~= before[i] then return false end
  end
  return true
end

-- Records are saved together; and those that are new and may be given to calls, which most are when a pool is filled, are filed
-- together: by set, its members with their scores.
local fresh, records = {}, {}

local function file_together(c)
  local set = key('idle', c.g .. ':' .. c.leaf)
  local f = fresh[set]
  if not f then
    f = {g = c.g, leaf = c.leaf}
    fresh[set] = f
  end
  c.sc = 0
  f[#f + 1], f[#f + 2] = 0, c.cid
end

local function save_later(c)
  records[#records + 1], records[#records + 2] = key('number', c.cid), packed(c)
end

local function save_together()
  if not records[1] then return end
  redis.call('MSET', unpack(records))
  for set, f in pairs(fresh) do
    redis.call('ZADD', set, unpack(f))
    -- None was used before: nothing in any place has a lower score.
    for _, place in ipairs(places_of(f.leaf)) do redis.call('ZADD', key('idle-at', f.g .. ':' .. place), 'LT', 0, f.leaf) end
  end
  fresh, records = {}, {}
end

local names, seen = {}, {}
for i = 5, #ARGV, SIZE do names[#names + 1] = key('number', ARGV[i]) end
local texts = redis.call('MGET', unpack(names))

for i = 5, #ARGV, SIZE do
  local cid, leaf, group = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local text = texts[(i - 5) / SIZE + 1]
  if seen[cid] then
    save_together()
    text = redis.call('GET', key('number', cid))
  end
  seen[cid] = true
  local c = caller_from(cid, text)
  local before = c and said(c)
  local is_new = not c
  local is_moved = is_new or c.g ~= group or c.leaf ~= leaf
  if is_new then
    new = new + 1
    c = {
      cid = cid, st = 'idle', sc = -1, lu = 0, n = 0, mw = 0, mn = 0, hw = 0, hn = 0, dw = 0, dn = 0, cu = 0, pl = '', gen = 0,
    }
  elseif is_moved then
    unfile(c)
  end
  c.g, c.leaf = group, leaf
  c.ml, c.hl, c.dl, c.sl = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5]), tonumber(ARGV[i + 6])
  c.cd, c.mc, c.off, c.ru = tonumber(ARGV[i + 7]), tonumber(ARGV[i + 8]), ARGV[i + 9], tonumber(ARGV[i + 10])
  c.z, c.ca, c.me, c.gen = ARGV[i + 11], ARGV[i + 12], ARGV[i + 13], math.max(generation, c.gen)
  if is_moved and not registered[group .. ':' .. leaf] then
    register(c)
    registered[group .. ':' .. leaf] = true
  end
  roll(c)
  if is_new and c.off == '' and c.mc > 0 and c.ml > 0 and c.hl > 0 and c.dl > 0 and eligible_at(c) <= NOW then
    file_together(c)
  else
    settle(c)
  end
  save_later(c)
  -- After it was settled: a rest that is over says nothing any more.
  if before and not is_said(c, before) then different = different + 1 end
end

save_together()
return {new, different}
