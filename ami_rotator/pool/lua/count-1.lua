-- count: a call showed this number by VICIdial's own choice (mode push). It is counted as used, once a trunk leg, and waits
-- where a limit is reached: from then on it is not eligible, and VICIdial is told to leave it alone.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  number, E.164  [2] name of the trunk leg: dialer and uniqueid  [3] [4] [5] zone
-- returns  1 counted, 0 not one of ours or counted before
--- include clock filing windows
begin(KEYS[1])
set_zone(ARGV[3], ARGV[4], ARGV[5])
local c = caller(ARGV[1])
if not c then return 0 end
if not redis.call('SET', key('counted', ARGV[2]), '1', 'NX', 'PX', 600000) then return 0 end
roll(c)
c.mn, c.hn, c.dn, c.lu = c.mn + 1, c.hn + 1, c.dn + 1, NOW_EXACT or NOW
settle(c)
save(c)
return 1
