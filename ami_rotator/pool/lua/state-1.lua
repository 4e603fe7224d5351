-- state: tell whether the pool is whole, and which server process has it.
--
-- KEYS[1]  tag of the inventory
-- returns  {epoch (ms, when the pool became whole) or '', run id of the server, time in ms}
--- include clock filing
local info = redis.call('INFO', 'server')
return {redis.call('GET', key('epoch')) or '', string.match(info, 'run_id:(%w+)') or '', (now_ms())}
