-- assign: give a call its caller-ID, or the one that it already has.
--
-- One atomic step: find the call, else pick the least recently used eligible caller-ID at the first place of the ladder
-- that has one, reserve it, count it against its limits, and append what happened. The same call always gets the same
-- answer; so does a request that is sent twice (its id is the reservation's).
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  reservation id   [2] lifetime in ms   [3] [4] [5] zone: offset s, next change at s, offset s after it
--      [6] campaign  [7] destination E.164 or ''  [8] dialled  [9] dialer  [10] code  [11] uniqueid  [12] agent  [13] lead
--      [14] source  [15] warm pool `campaign|area` or ''  [16...] ladder: rung, group, area ('' is any) ...
-- returns  {'new' | 'same' | 'ended', id, caller-ID, rung, group, area, carrier, meta, warm 0/1, assigned at ms}
--      or  {'miss', reason};  error NOTWHOLE while an emptied Redis is filled again
--- include clock filing windows outbox reservations choosing
local now = now_ms()
local w = windows(now, tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
local id, destination, dialer, code, uniqueid = ARGV[1], ARGV[7], ARGV[9], ARGV[10], ARGV[11]

local function answer(status, r, carrier, meta)
  return {status, r.id, r.cid, r.rung, r.g, r.a, carrier or '', meta or '', r.wm, whole(r.at)}
end

-- A request without any name of its call is known by its own id alone.
local r
if code == '' and uniqueid == '' then r = reservation(id) else r = find(dialer, code, uniqueid) end
if r then
  link(r, dialer, code)
  link(r, dialer, uniqueid)
  local more = redis.call('HMGET', key('caller', r.cid), 'ca', 'me')
  return answer(r.st == 'ended' and 'ended' or 'same', r, more[1], more[2])
end

-- A miss that is asked for once more stays one: it is counted and recorded once.
local known = redis.call('MGET', key('epoch'), key('missed', id))
if not known[1] then return not_known() end
if known[2] then return {'miss', known[2]} end

local pool = ARGV[15]
if pool ~= '' then redis.call('ZINCRBY', key('demand'), 1, pool) end

local c, rung
if pool ~= '' then
  c = first_of(key('pool', pool), destination, now, w)
  rung = ARGV[16]
end
local i = 16
while not c and ARGV[i] do
  local place = ARGV[i + 1]
  if ARGV[i + 2] ~= '' then place = place .. ':' .. ARGV[i + 2] end
  rung = ARGV[i]
  promote('waiting', place, now, w, 2)
  c = first_of(key('idle', place), destination, now, w) or first_of(key('warm', place), destination, now, w)
  i = i + 3
end

if not c then
  local reason = ARGV[16] and 'none_free' or 'no_groups'
  redis.call('SET', key('missed', id), reason, 'PX', 10000)
  append('missed', id, now, now, 'campaign', ARGV[6], 'destination', destination, 'dialled', ARGV[8], 'dialer', dialer,
    'code', code, 'uniqueid', uniqueid, 'agent', ARGV[12], 'lead', ARGV[13], 'source', ARGV[14], 'reason', reason)
  return {'miss', reason}
end

local warm = '0'
if c.st == 'warm' then
  warm = '1'
  unfile(c)
  c.st, c.sc = 'idle', -1
end
c.n, c.hn, c.dn, c.lu = c.n + 1, c.hn + 1, c.dn + 1, now
settle(c, now, w)
save(c)

local names = {}
for _, part in ipairs({code, uniqueid}) do
  if part ~= '' then
    names[#names + 1] = dialer .. ':' .. part
    redis.call('SET', key('call', names[#names]), id)
  end
end
r = {id = id, cid = c.cid, at = now, rung = rung, g = c.g, a = c.a, wm = warm}
redis.call('HSET', key('reservation', id), 'cid', c.cid, 'at', whole(now), 'st', 'live', 'held', '1',
  'names', table.concat(names, '\n'), 'hw', whole(w.hour), 'dw', whole(w.day), 'rung', rung, 'g', c.g, 'a', c.a, 'wm', warm,
  'campaign', ARGV[6], 'destination', destination, 'dialer', dialer, 'code', code, 'uniqueid', uniqueid, 'source', ARGV[14])
redis.call('ZADD', key('expiries'), now + tonumber(ARGV[2]), id)
append('assigned', id, now, now, 'caller_id', c.cid, 'campaign', ARGV[6], 'destination', destination, 'dialled', ARGV[8],
  'dialer', dialer, 'code', code, 'uniqueid', uniqueid, 'agent', ARGV[12], 'lead', ARGV[13], 'source', ARGV[14],
  'rung', rung, 'group', c.g, 'area', c.a, 'warm', warm)
return answer('new', r, c.ca, c.me)
