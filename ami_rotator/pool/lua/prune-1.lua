-- prune: remove the caller-IDs of one place that no load has put since a generation; one with a live call goes when the
-- call ends.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  generation  [2] state  [3] group  [4] cursor
-- returns  {next cursor, how many were removed or will be}
--- include filing
local page = redis.call('ZSCAN', key(ARGV[2], ARGV[3]), ARGV[4], 'COUNT', 200)
local gone = 0
for i = 1, #page[2], 2 do
  local cid = page[2][i]
  local seen = tonumber(redis.call('HGET', key('caller', cid), 'gen') or '0')
  if seen < tonumber(ARGV[1]) then
    local c = caller(cid)
    if c and c.n > 0 then
      redis.call('HSET', key('caller', cid), 'off', 'retired')
    elseif c then
      unfile(c)
      redis.call('DEL', key('caller', cid))
    end
    gone = gone + 1
  end
end
return {page[1], gone}
