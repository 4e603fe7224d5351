-- restore: bring back reservations of calls that may still be up; each lives a whole lifetime from now. One that is there,
-- or that has ended, is left as it is.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  lifetime in ms  [2] [3] [4] zone  [5...] nineteen a reservation, the newest first: id, assigned at ms, caller-ID,
--      campaign, destination, dialled, dialer, code, uniqueid, agent, lead, source, rung, group, area, warm, trunk,
--      number shown (both '' before a trunk leg was seen), 1: its use and its record are lost too, else 0
-- returns  how many came back
--- include clock filing windows outbox reservations
local offset, change, following = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()
local w = windows(now, offset, change, following)
local back = 0
for i = 5, #ARGV, 19 do
  local id, at, cid, dialer, trunk, shown = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 6], ARGV[i + 16], ARGV[i + 17]
  if redis.call('EXISTS', key('reservation', id)) == 0 then
    local began = windows(at, offset, change, following)
    local c = caller(cid)
    -- A number that was never shown was given back. Of two calls that the ledger thinks open, the newer one has the number.
    local held = c ~= nil and c.n < c.mc and (shown == '' or shown == cid)
    if held then
      roll(c, w)
      c.n = c.n + 1
      c.lu = math.max(c.lu, at)
      if ARGV[i + 18] == '1' then
        if began.hour == w.hour then c.hn = c.hn + 1 end
        if began.day == w.day then c.dn = c.dn + 1 end
      end
      settle(c, now, w)
      save(c)
    end
    redis.call('HSET', key('reservation', id), 'cid', cid, 'at', whole(at), 'st', 'live', 'held', held and '1' or '0',
      'names', '', 'hw', whole(began.hour), 'dw', whole(began.day), 'rung', ARGV[i + 12], 'g', ARGV[i + 13],
      'a', ARGV[i + 14], 'wm', ARGV[i + 15], 'campaign', ARGV[i + 3], 'destination', ARGV[i + 4], 'dialer', dialer,
      'code', ARGV[i + 7], 'uniqueid', ARGV[i + 8], 'source', ARGV[i + 11])
    if trunk ~= '' then redis.call('HSET', key('reservation', id), 'tk', trunk, 'pres', shown) end
    redis.call('ZADD', key('expiries'), now + tonumber(ARGV[1]), id)
    local r = {id = id, names = '', st = 'live'}
    link(r, dialer, ARGV[i + 7])
    link(r, dialer, ARGV[i + 8])
    link(r, dialer, trunk)
    if ARGV[i + 18] == '1' then
      append('assigned', id, at, now, 'caller_id', cid, 'campaign', ARGV[i + 3], 'destination', ARGV[i + 4],
        'dialled', ARGV[i + 5], 'dialer', dialer, 'code', ARGV[i + 7], 'uniqueid', ARGV[i + 8], 'agent', ARGV[i + 9],
        'lead', ARGV[i + 10], 'source', ARGV[i + 11], 'rung', ARGV[i + 12], 'group', ARGV[i + 13], 'area', ARGV[i + 14],
        'warm', ARGV[i + 15])
    end
    back = back + 1
  end
end
return back
