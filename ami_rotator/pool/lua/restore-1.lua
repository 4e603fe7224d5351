-- restore: bring back reservations of calls that may still be up; each lives a whole lifetime from now. One that is there,
-- or that has ended, is left as it is.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  lifetime in ms  [2] [3] [4] zone  [5...] nineteen a reservation, the newest first: id, assigned at ms, caller-ID,
--      campaign, destination, dialled, dialer, code, uniqueid, agent, lead, source, rung, group, area, warm, trunk,
--      number shown (both '' before a trunk leg was seen), 1: its use and its record are lost too, else 0
-- returns  how many came back
--- include clock filing windows outbox memory reservations
begin(KEYS[1])
set_zone(ARGV[2], ARGV[3], ARGV[4])
local back = 0
for i = 5, #ARGV, 19 do
  local id, at, cid, dialer, trunk, shown = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 6], ARGV[i + 16], ARGV[i + 17]
  if redis.call('EXISTS', key('reservation', id)) == 0 then
    local c = caller(cid)
    local began = windows(at, unpack(zone_of(c and c.z or '')))
    -- A number that was never shown was given back. Of two calls that the ledger thinks open, the newer one has the number. Who
    -- was given it in the last moments has it, whoever else is thought to: that call's end may be lost.
    local held = c ~= nil and (c.n < c.mc or ARGV[i + 18] == '1') and (shown == '' or shown == cid)
    if held then
      local w = roll(c)
      c.n = c.n + 1
      c.lu = math.max(c.lu, at)
      if ARGV[i + 18] == '1' then
        if began.minute == w.minute then c.mn = c.mn + 1 end
        if began.hour == w.hour then c.hn = c.hn + 1 end
        if began.day == w.day then c.dn = c.dn + 1 end
      end
      settle(c)
      save(c)
    end
    local r = {
      id = id, cid = cid, at = at, held = held, names = '', mw = began.minute, hw = began.hour, dw = began.day,
      tk = trunk ~= '' and trunk, rung = ARGV[i + 12], g = ARGV[i + 13], a = ARGV[i + 14], wm = ARGV[i + 15],
      pres = trunk ~= '' and shown or '', dialer = dialer, code = ARGV[i + 7], uniqueid = ARGV[i + 8], why = 'restored',
      bond = '', seen = '', campaign = ARGV[i + 3], destination = ARGV[i + 4], source = ARGV[i + 11],
    }
    redis.call('ZADD', key('expiries'), NOW + tonumber(ARGV[1]), id)
    link(r, dialer, r.code)
    link(r, dialer, r.uniqueid)
    link(r, dialer, trunk)
    save_reservation(r)
    if ARGV[i + 18] == '1' then
      append('assigned', id, at, 'caller_id', cid, 'campaign', r.campaign, 'destination', r.destination,
        'dialled', ARGV[i + 5], 'dialer', dialer, 'code', r.code, 'uniqueid', r.uniqueid, 'agent', ARGV[i + 9],
        'lead', ARGV[i + 10], 'source', r.source, 'rung', r.rung, 'group', r.g, 'area', r.a, 'warm', r.wm, 'why', r.why)
    end
    back = back + 1
  end
end
return back
