-- rebuild: take the turn to bring back what the pool lost, or keep it. Only who has it may open the pool.
--
-- A turn is one of this server process: one that came with a replica's data is no turn here. A load that began before Redis was
-- emptied must not remove what is brought back: generations go on from the time.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  token of who asks  [2] lifetime of the turn in ms  [3] 1: take it, if the pool is not whole; 0: only keep it (Redis may
--      have been emptied once more, and the turn with it)
-- returns  the time in ms where the turn is theirs, else 0
--- include clock filing whole
work_on(KEYS[1])
local now, turn = now_ms(KEYS[1]), ARGV[1] .. ' ' .. server()
local holder = redis.call('GET', key('rebuild'))
if holder ~= turn then
  if ARGV[3] == '0' or is_whole(redis.call('GET', key('epoch'))) then return 0 end
  if holder and string.match(holder, ' (.*)$') == server() then return 0 end
end
redis.call('SET', key('rebuild'), turn, 'PX', ARGV[2])
if tonumber(redis.call('GET', key('generation')) or '0') < now then redis.call('SET', key('generation'), whole(now)) end
return now
