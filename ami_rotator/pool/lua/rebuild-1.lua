-- rebuild: take the turn to bring an emptied pool back, or keep it. Only who has it may open the pool.
--
-- A load that began before Redis was emptied must not remove what is brought back: generations go on from the time.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  token of who asks  [2] lifetime of the turn in ms  [3] 1: take it, 0: only keep it (Redis may have been emptied
--      once more, and the turn with it)
-- returns  the time in ms where the turn is theirs, else 0
--- include clock filing
local now = now_ms()
if ARGV[3] == '0' or not redis.call('SET', key('rebuild'), ARGV[1], 'NX', 'PX', ARGV[2]) then
  if redis.call('GET', key('rebuild')) ~= ARGV[1] then return 0 end
  redis.call('PEXPIRE', key('rebuild'), ARGV[2])
end
if tonumber(redis.call('GET', key('generation')) or '0') < now then redis.call('SET', key('generation'), whole(now)) end
return now
