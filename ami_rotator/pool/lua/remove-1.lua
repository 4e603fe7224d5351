-- remove: take caller-IDs out of the pool; one with a live call goes when the call ends.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1...] caller-IDs
-- returns  how many went at once
--- include filing
work_on(KEYS[1])
local gone = 0
for _, cid in ipairs(ARGV) do
  local c = caller(cid)
  if c and c.n > 0 then
    c.off = 'retired'
    save(c)
  elseif c then
    remove(c)
    gone = gone + 1
  end
end
return gone
