-- promote: bring back the caller-IDs of a group whose waiting or resting is over, a few at a time.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  group  [2] how many at the most  [3] [4] [5] zone
-- returns  how many came back, of the state that had more; fewer than `most` means that none is left
--- include clock filing windows choosing
begin(KEYS[1])
set_zone(ARGV[3], ARGV[4], ARGV[5])
local most = tonumber(ARGV[2])
return math.max(promote('waiting', ARGV[1], '', most), promote('resting', ARGV[1], '', most))
