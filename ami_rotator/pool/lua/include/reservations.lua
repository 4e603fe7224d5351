-- Reservations: a packed record each, found by id or by a name of its call. Those in the set of expiries are live.
-- A reservation that has ended stays readable for a while, so that a late question gets the same answer.
local KEEP_MS = 300000

local function reservation(id)
  local text = redis.call('GET', key('reservation', id))
  if not text then return nil end
  local v = cmsgpack.unpack(text)
  return {
    id = id, cid = v[1], at = v[2], held = v[3], names = v[4], mw = v[5], hw = v[6], dw = v[7], tk = v[8], rung = v[9],
    g = v[10], a = v[11], wm = v[12], pres = v[13], dialer = v[14], code = v[15], uniqueid = v[16], why = v[17], bond = v[18],
    seen = v[19], campaign = v[20], destination = v[21], source = v[22],
  }
end

local function is_live(r)
  return redis.call('ZSCORE', key('expiries'), r.id)
end

local function packed_reservation(r)
  return cmsgpack.pack({
    r.cid, r.at, r.held, r.names, r.mw, r.hw, r.dw, r.tk, r.rung, r.g, r.a, r.wm, r.pres, r.dialer, r.code, r.uniqueid, r.why,
    r.bond, r.seen, r.campaign, r.destination, r.source,
  })
end

-- What follows the reservation are options of SET: how long the record is kept.
local function save_reservation(r, ...)
  redis.call('SET', key('reservation', r.id), packed_reservation(r), ...)
end

-- The reservation of a call, by whichever of its names is known: the code first.
local function find(dialer, code, uniqueid)
  local id
  if code ~= '' then id = redis.call('GET', key('call', dialer .. ':' .. code)) end
  if not id and uniqueid ~= '' then id = redis.call('GET', key('call', dialer .. ':' .. uniqueid)) end
  if not id then return nil end
  return reservation(id)
end

-- What is answered of a call that is not known. While the pool is not whole it may be one that is yet to come back, so that
-- nothing is said of it.
local function not_known(answer)
  if is_whole(redis.call('GET', key('epoch'))) then return answer end
  return not_whole()
end

-- Let a call's further name lead to its reservation too; a name that leads elsewhere stays. Save the reservation after it.
local function link(r, dialer, part)
  if part == '' then return end
  local name = dialer .. ':' .. part
  if redis.call('SET', key('call', name), r.id, 'NX') then
    r.names = r.names == '' and name or (r.names .. '\n' .. name)
    if not is_live(r) then redis.call('PEXPIRE', key('call', name), KEEP_MS) end
    return true
  end
end

-- Take the caller-ID back from its call. A use that never reached the carrier is not counted and needs no cool-down.
local function give_back(r, used)
  local c = caller(r.cid)
  if not c then return end
  roll(c)
  if c.n > 0 then c.n = c.n - 1 end
  if used then
    c.cu = NOW + c.cd * 1000
  else
    if c.mw == r.mw and c.mn > 0 then c.mn = c.mn - 1 end
    if c.hw == r.hw and c.hn > 0 then c.hn = c.hn - 1 end
    if c.dw == r.dw and c.dn > 0 then c.dn = c.dn - 1 end
    if r.bond ~= '' then unbind(r) end
    if r.seen ~= '' then unsee(r) end
  end
  if c.off == 'retired' and c.n == 0 then return remove(c) end
  settle(c)
  save(c)
end

-- End a live reservation; false where it is over already.
local function finish(r, outcome, cause, sip, talk_ms, used)
  -- First what a full Redis takes too (it refuses a script only before its first change): so calls can always end.
  if redis.call('ZREM', key('expiries'), r.id) == 0 then return false end
  if r.held then
    give_back(r, used)
    if used and r.bond ~= '' then attempted(r, outcome) end
  end
  redis.call('PEXPIRE', key('reservation', r.id), KEEP_MS)
  for name in string.gmatch(r.names, '[^\n]+') do redis.call('PEXPIRE', key('call', name), KEEP_MS) end
  append('ended', r.id, r.at, 'outcome', outcome, 'cause', cause, 'sip', sip, 'talk_ms', talk_ms, 'dialled', used and '1' or '0')
  return true
end
