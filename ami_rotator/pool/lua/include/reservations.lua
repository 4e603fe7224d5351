-- Reservations: a hash each, found by id or by a name of its call; live ones also in the set of expiries.
-- A reservation that has ended stays readable for a while, so that a late question gets the same answer.
local KEEP_MS = 300000

local function reservation(id)
  local v = redis.call('HMGET', key('reservation', id), 'cid', 'at', 'st', 'held', 'names', 'hw', 'dw', 'tk', 'rung', 'g',
    'a', 'wm', 'pres')
  if not v[1] then return nil end
  return {
    id = id, cid = v[1], at = tonumber(v[2]), st = v[3], held = v[4] == '1', names = v[5], hw = tonumber(v[6]),
    dw = tonumber(v[7]), tk = v[8], rung = v[9], g = v[10], a = v[11], wm = v[12], pres = v[13] or '',
  }
end

-- The reservation of a call, by whichever of its names is known: the code first.
local function find(dialer, code, uniqueid)
  local id
  if code ~= '' then id = redis.call('GET', key('call', dialer .. ':' .. code)) end
  if not id and uniqueid ~= '' then id = redis.call('GET', key('call', dialer .. ':' .. uniqueid)) end
  if not id then return nil end
  return reservation(id)
end

-- What is answered of a call that is not known. An emptied Redis has no epoch until everything is back (pool/rebuild.py):
-- the call may be one that is yet to come back, so that nothing is said of it.
local function not_known(answer)
  if redis.call('EXISTS', key('epoch')) == 1 then return answer end
  return redis.error_reply('NOTWHOLE the caller-IDs are being brought back from PostgreSQL')
end

-- Let a call's further name lead to its reservation too; a name that leads elsewhere stays.
local function link(r, dialer, part)
  if part == '' then return end
  local name = dialer .. ':' .. part
  if redis.call('SET', key('call', name), r.id, 'NX') then
    r.names = r.names == '' and name or (r.names .. '\n' .. name)
    redis.call('HSET', key('reservation', r.id), 'names', r.names)
    if r.st == 'ended' then redis.call('PEXPIRE', key('call', name), KEEP_MS) end
  end
end

-- Take the caller-ID back from its call. A use that never reached the carrier is not counted and needs no cool-down.
local function give_back(r, used, now, w)
  local c = caller(r.cid)
  if not c then return end
  roll(c, w)
  if c.n > 0 then c.n = c.n - 1 end
  if used then
    c.cu = now + c.cd * 1000
  else
    if c.hw == r.hw and c.hn > 0 then c.hn = c.hn - 1 end
    if c.dw == r.dw and c.dn > 0 then c.dn = c.dn - 1 end
  end
  if c.off == 'retired' and c.n == 0 then
    unfile(c)
    redis.call('DEL', key('caller', c.cid))
    return
  end
  settle(c, now, w)
  save(c)
end

local function finish(r, now, w, outcome, cause, sip, talk_ms, used)
  if r.held then give_back(r, used, now, w) end
  redis.call('ZREM', key('expiries'), r.id)
  redis.call('HSET', key('reservation', r.id), 'st', 'ended', 'held', '0')
  redis.call('PEXPIRE', key('reservation', r.id), KEEP_MS)
  for name in string.gmatch(r.names, '[^\n]+') do redis.call('PEXPIRE', key('call', name), KEEP_MS) end
  append('ended', r.id, r.at, now, 'outcome', outcome, 'cause', cause, 'sip', sip, 'talk_ms', talk_ms,
    'dialled', used and '1' or '0')
end
