-- release: the call is over; its caller-ID goes to waiting (cool-down, cap) or idle. A second time changes nothing.
-- Error NOTWHOLE while an emptied Redis is filled again.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  reservation id or '' (then by call)  [2] dialer  [3] code  [4] uniqueid
--      [5] outcome  [6] Q.850 cause  [7] SIP code  [8] talk time ms  [9] 1: reached the carrier, 0: never dialled
--      [10] [11] [12] zone
-- returns  {'released' | 'already', id, caller-ID}  or  {'unknown'}
--- include clock filing windows outbox memory reservations
set_zone(ARGV[10], ARGV[11], ARGV[12])
local r
if ARGV[1] ~= '' then r = reservation(ARGV[1]) else r = find(ARGV[2], ARGV[3], ARGV[4]) end
if not r then return not_known({'unknown'}) end
if r.st == 'ended' then return {'already', r.id, r.cid} end
finish(r, ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9] == '1')
return {'released', r.id, r.cid}
