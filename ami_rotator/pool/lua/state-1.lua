-- state: tell whether the pool is whole, which server process has it, and whether it was whole on another one.
--
-- KEYS[1]  tag of the inventory
-- returns  {epoch (ms, when the pool became whole) or '', run id of the server, time in ms, epoch of another process: 1 or 0}
--      or  error READONLY on a replica
--- include clock filing whole
work_on(KEYS[1])
local refused = refuse_replica()
if refused then return refused end
local epoch = redis.call('GET', key('epoch'))
local here = is_whole(epoch)
return {here and string.match(epoch, '^%d+') or '', server(), (now_ms(KEYS[1])), epoch and not here and 1 or 0}
