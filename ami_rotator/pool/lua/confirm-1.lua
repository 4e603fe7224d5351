-- confirm: a trunk leg of the call exists and showed this number.
--
-- The reservation lives on for a whole lifetime from now. Where another number was shown (assigned too late, or only
-- observed), ours never reached the carrier: it goes back at once and uncounted, and the record of the call goes on.
-- Saying it again for the same trunk changes nothing. Error NOTWHOLE while an emptied Redis is filled again.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  dialer  [2] code  [3] uniqueid  [4] number shown, E.164 or raw, '' unknown  [5] uniqueid of the trunk
--      [6] lifetime in ms  [7] [8] [9] zone
-- returns  {'confirmed' | 'other_number' | 'same' | 'ended', id, caller-ID}  or  {'unknown'}
--- include clock filing windows outbox memory reservations
set_zone(ARGV[7], ARGV[8], ARGV[9])
local shown, trunk = ARGV[4], ARGV[5]
local r = find(ARGV[1], ARGV[2], ARGV[3])
if not r then return not_known({'unknown'}) end
if r.st == 'ended' then return {'ended', r.id, r.cid} end
redis.call('ZADD', key('expiries'), 'XX', NOW + tonumber(ARGV[6]), r.id)
if r.tk == trunk and (trunk ~= '' or r.pres == shown) then return {'same', r.id, r.cid} end
local matches = shown == r.cid or shown == ''
if not matches and r.held then
  give_back(r, false)
  r.held = false
end
r.tk, r.pres = trunk, shown
link(r, ARGV[1], ARGV[3])
link(r, ARGV[1], trunk)
save_reservation(r, 'KEEPTTL')
append('presented', r.id, r.at, 'presented', shown, 'trunk', trunk, 'match', matches and '1' or '0')
return {matches and 'confirmed' or 'other_number', r.id, r.cid}
