-- optouts: change the list of destinations that get no caller-ID. Members are `destination` for every campaign and
-- `destination|campaign` for one.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  'add' | 'remove': change the list; 'load': add to a new one; 'swap': let the new one take the list's place
--      [2] name of the new list, '' where none is made  [3...] members
-- returns  how many were added or removed
--- include filing
work_on(KEYS[1])
local list, fresh = key('optouts'), key('optouts-new', ARGV[2])

-- assign looks at the list only where this says that it has members.
local function mark()
  if redis.call('EXISTS', list) == 1 then
    redis.call('SET', key('optouts-any'), '1')
  else
    redis.call('DEL', key('optouts-any'))
  end
end

if ARGV[1] == 'swap' then
  -- Sent twice, the second finds no new list: that must not empty the one that just took its place.
  if not redis.call('SET', key('optouts-swapped', ARGV[2]), '1', 'NX', 'PX', 60000) then return 0 end
  local is_empty = redis.call('EXISTS', fresh) == 0
  local gone = is_empty and redis.call('DEL', list) or 0
  if not is_empty then
    redis.call('RENAME', fresh, list)
    redis.call('PERSIST', list)
  end
  mark()
  return gone
end
local done = 0
for i = 3, #ARGV do
  if ARGV[1] == 'remove' then
    done = done + redis.call('SREM', list, ARGV[i])
  else
    done = done + redis.call('SADD', ARGV[1] == 'load' and fresh or list, ARGV[i])
  end
end
if ARGV[1] == 'load' then redis.call('EXPIRE', fresh, 3600) end
mark()
return done
