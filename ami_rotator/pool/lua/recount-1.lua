-- recount: give caller-IDs back what the ledger knows of their use. Nothing gets less by it: a use that the ledger has not
-- seen yet stays counted.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1] [2] [3] zone  [4] when the uses were counted, ms  [5...] six a caller-ID: number, uses in the minute, in the hour and
--      in the day of that time, last use ms, end of the last call ms (0: none)
-- returns  how many of them the pool has
--- include clock filing windows
begin(KEYS[1])
set_zone(ARGV[1], ARGV[2], ARGV[3])
local found = 0
for i = 5, #ARGV, 6 do
  local c = caller(ARGV[i])
  if c then
    local w, counted = roll(c), windows(tonumber(ARGV[4]), unpack(zone_of(c.z)))
    if counted.minute == w.minute then c.mn = math.max(c.mn, tonumber(ARGV[i + 1])) end
    if counted.hour == w.hour then c.hn = math.max(c.hn, tonumber(ARGV[i + 2])) end
    if counted.day == w.day then c.dn = math.max(c.dn, tonumber(ARGV[i + 3])) end
    c.lu = math.max(c.lu, tonumber(ARGV[i + 4]))
    local ended = tonumber(ARGV[i + 5])
    if ended > 0 then c.cu = math.max(c.cu, ended + c.cd * 1000) end
    settle(c)
    save(c)
    found = found + 1
  end
end
return found
