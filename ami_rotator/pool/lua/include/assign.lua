-- assign: give a call its caller-ID, or the one that it already has.
--
-- One atomic step: find the call, else choose by the campaign's ladder and policy (include/policy.lua), reserve, count
-- against the limits, and append what happened. The same call always gets the same answer; so does a request that is sent
-- twice (its id is the reservation's).
--
-- of[1]  reservation id  [2] lifetime in ms  [3] campaign  [4] destination E.164 or ''  [5] dialled  [6] dialer  [7] code
--   [8]  uniqueid  [9] agent  [10] lead  [11] source  [12] warm pool `campaign|area` or ''
--   [13] ladder: lines `rung TAB group TAB place` ('' is any)  [14] policy as JSON (pool/policy_terms.py) or ''
--   [15] the server process that who asks works with, or '' (whichever): another one may not know what that one gave
-- returns  {'new' | 'same' | 'ended', id, caller-ID, rung, group, area, carrier, meta, warm 0/1, assigned at ms, why}
--      or  {'miss', reason, detail};  error NOTWHOLE until everything is brought back (include/whole.lua)
--
-- `turn`: how many were asked before it in the same script run. Numbers given in one run keep their order by it.
local CHOOSE, SERVED -- made for the first call whose campaign has a policy
local function assign(of, turn)
  local id, dialer, code, uniqueid = of[1], of[6], of[7], of[8]
  local q = question(of, 3, 4, 10, 12)

  -- All that has to be looked up by name, in one command.
  local by_code, by_uniqueid = key('call', dialer .. ':' .. code), key('call', dialer .. ':' .. uniqueid)
  local known = recall(q, key('epoch'), key('missed', id), by_code, by_uniqueid)

  local function answer(status, r, carrier, meta)
    return {status, r.id, r.cid, r.rung, r.g, r.a, carrier or '', meta or '', r.wm, whole(r.at), r.why}
  end

  -- A request without any name of its call is known by its own id alone.
  local found = (code ~= '' and known[4]) or (uniqueid ~= '' and known[5]) or (code == '' and uniqueid == '' and id)
  local r = found and reservation(found)
  if r then
    local is_linked = link(r, dialer, code)
    if link(r, dialer, uniqueid) or is_linked then save_reservation(r, 'KEEPTTL') end
    local c = caller(r.cid) or {}
    return answer(is_live(r) and 'same' or 'ended', r, c.ca, c.me)
  end
  if not is_whole(known[2]) or (of[15] or '') ~= '' and of[15] ~= server() then return not_whole() end
  -- A miss that is asked for once more stays one: it is counted and recorded once.
  if known[3] then return {'miss', known[3], ''} end
  -- Changes nothing, but a full Redis refuses it: here, before anything has changed.
  redis.call('SETRANGE', key('room'), 0, '')

  local c, rung, how, broken
  if q.is_opted_out then
    how, broken = 'opted_out', ''
  elseif q.p then
    if not CHOOSE then CHOOSE, SERVED = policy() end
    c, rung, how, broken = CHOOSE(q)
  else
    c, rung, how = choose_plainly(q)
    broken = ''
  end
  if q.p and q.p.ex == 'overflow' then
    local counts = key('overflow', q.campaign .. ':' .. zones[''].day)
    redis.call('HINCRBY', counts, 'calls', 1)
    if how == 'overflow' then redis.call('HINCRBY', counts, 'over', 1) end
    redis.call('PEXPIRE', counts, 172800000)
  end

  if not c then
    redis.call('SET', key('missed', id), how, 'PX', 10000)
    append('missed', id, NOW, 'campaign', q.campaign, 'destination', q.destination, 'dialled', of[5], 'dialer', dialer,
      'code', code, 'uniqueid', uniqueid, 'agent', of[9], 'lead', q.lead, 'source', of[11], 'reason', how, 'why', broken)
    return {'miss', how, broken}
  end

  local w, warm = roll(c), '0'
  if c.st == 'warm' then
    warm = '1'
    unfile(c)
  end
  c.n, c.mn, c.hn, c.dn, c.lu = c.n + 1, c.mn + 1, c.hn + 1, c.dn + 1, (NOW_EXACT or NOW) + turn / 4096
  settle(c)
  if q.p then
    SERVED(q, c)
    -- A bond stays with its caller-ID where that is only busy, or where the policy says that it survives.
    local stays = broken == 'busy' or ((broken == 'resting' or broken == 'capped') and not q.p.br[broken])
    if q.bond ~= '' and not stays then
      local b = bond_from(q.bond_text)
      local unanswered = b and b.cid == c.cid and how == 'sticky' and b.unanswered or 0
      save_bond(q.bond, {cid = c.cid, at = NOW, id = id, unanswered = unanswered}, 'PX', q.p.sd)
    end
    if q.seen ~= '' then see(q.seen, seen_from(q.seen_text), c.cid, q.p.dd) end
  end

  local names, kept = '', {}
  if code ~= '' then
    names = dialer .. ':' .. code
    kept[1], kept[2] = by_code, id
  end
  if uniqueid ~= '' then
    names = (names == '' and '' or names .. '\n') .. dialer .. ':' .. uniqueid
    kept[#kept + 1], kept[#kept + 2] = by_uniqueid, id
  end
  local why = broken == '' and how or (how .. ':' .. broken)
  r = {
    id = id, cid = c.cid, at = NOW, held = true, names = names, mw = w.minute, hw = w.hour, dw = w.day, tk = false,
    rung = rung, g = c.g, a = area_of(c), wm = warm, pres = '', dialer = dialer, code = code, uniqueid = uniqueid, why = why,
    bond = q.bond, seen = q.seen, campaign = q.campaign, destination = q.destination, source = of[11],
  }
  redis.call('MSET', key('number', c.cid), packed(c), key('reservation', id), packed_reservation(r), unpack(kept))
  redis.call('ZADD', key('expiries'), NOW + tonumber(of[2]), id)
  append('assigned', id, NOW, 'caller_id', c.cid, 'campaign', q.campaign, 'destination', q.destination, 'dialled', of[5],
    'dialer', dialer, 'code', code, 'uniqueid', uniqueid, 'agent', of[9], 'lead', q.lead, 'source', of[11],
    'rung', rung, 'group', c.g, 'area', r.a, 'warm', warm, 'why', why)
  return answer('new', r, c.ca, c.me)
end
