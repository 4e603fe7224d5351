-- The pool is whole on the very server process on which a daemon opened it (open-1.lua), after all was brought back. One that was
-- emptied has no epoch. One that was started again, or a replica that took over, has an epoch of another process: it may lack the
-- newest reservations, so that nothing is given out before the daemons have said what they know (pool/rebuild.py).
local SERVER -- where the script is a function, kept as long as the process lives that it names
local function server()
  SERVER = SERVER or string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
  return SERVER
end

-- epoch: what its key holds, `ms run id`; false where there is none
local function is_whole(epoch)
  return epoch and string.match(epoch, ' (.*)$') == server()
end

-- On a replica nothing can be brought back: its client is told to look for the primary.
local function refuse_replica()
  if string.find(redis.call('INFO', 'replication'), 'role:slave', 1, true) then
    return redis.error_reply('READONLY a replica gives nothing out')
  end
end

local function not_whole()
  return refuse_replica() or redis.error_reply('NOTWHOLE the caller-IDs are being brought back')
end
