-- put: take caller-IDs into the pool, or change those that are there. Counters, last use and live calls are kept, and each
-- is filed anew at once, so that an edit works from the next call on.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  generation  [2] [3] [4] zone  [5...] fourteen a caller-ID: number, leaf (include/filing.lua), group, limits a minute,
--      an hour and a day, soft limit a day, cool-down s, live calls at once, '' | 'resting' | 'disabled', resting until ms,
--      zone ('' the inventory's), carrier, meta
-- returns  {how many were new, how many were there and differed}
--- include clock filing windows
set_zone(ARGV[2], ARGV[3], ARGV[4])
local generation, new, different = tonumber(ARGV[1]), 0, 0
local SIZE, registered = 14, {}

-- All of a caller-ID that the inventory says, as one text.
local function said(c)
  return table.concat(
    {c.g, c.leaf, c.ml, c.hl, c.dl, c.sl, c.cd, c.mc, c.off, whole(c.ru), c.z, c.ca, c.me}, '\t')
end

for i = 5, #ARGV, SIZE do
  local cid, leaf, group = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local c = caller(cid)
  local before = c and said(c)
  local is_moved = not c or c.g ~= group or c.leaf ~= leaf
  if not c then
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
  settle(c)
  save(c)
  -- After it was settled: a rest that is over says nothing any more.
  if before and said(c) ~= before then different = different + 1 end
end
return {new, different}
