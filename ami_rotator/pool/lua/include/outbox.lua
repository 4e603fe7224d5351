-- What happened is appended by the script that made it happen (DESIGN.md rule 6). The ledger takes it from there.
local function append(event, id, at, ...)
  redis.call('XADD', key('outbox'), '*', 'event', event, 'id', id, 'at', at, 'ts', NOW, ...)
end
