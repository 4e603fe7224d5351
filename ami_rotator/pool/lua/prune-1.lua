-- prune: remove the caller-IDs of one set that no load has put since a generation; one with a live call goes when the call
-- ends.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  generation  [2] state  [3] `group:leaf`  [4] cursor
-- returns  {next cursor, how many were removed or will be}
--- include filing
work_on(KEYS[1])
local page = redis.call('ZSCAN', key(ARGV[2], ARGV[3]), ARGV[4], 'COUNT', 200)
local gone = 0
for i = 1, #page[2], 2 do
  local c = caller(page[2][i])
  if c and c.gen < tonumber(ARGV[1]) then
    if c.n > 0 then
      c.off = 'retired'
      save(c)
    else
      remove(c)
    end
    gone = gone + 1
  end
end
return {page[1], gone}
