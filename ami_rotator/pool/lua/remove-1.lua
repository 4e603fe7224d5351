-- remove: take caller-IDs out of the pool; one with a live call goes when the call ends.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1...] caller-IDs
-- returns  how many went at once
--- include filing
local gone = 0
for _, cid in ipairs(ARGV) do
  local c = caller(cid)
  if c and c.n > 0 then
    redis.call('HSET', key('caller', cid), 'off', 'retired')
  elseif c then
    unfile(c)
    redis.call('DEL', key('caller', cid))
    gone = gone + 1
  end
end
return gone
