-- open: everything is back; calls are served from here on. Refused where the turn was lost, for then something may be missing.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  token of who has the turn
-- returns  1 open, 0 refused
--- include clock filing whole
work_on(KEYS[1])
if redis.call('GET', key('rebuild')) ~= ARGV[1] .. ' ' .. server() then return 0 end
redis.call('SET', key('epoch'), whole((now_ms(KEYS[1]))) .. ' ' .. server())
redis.call('DEL', key('rebuild'), key('books'))
return 1
