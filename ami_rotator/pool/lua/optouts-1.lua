-- optouts: change the list of destinations that get no caller-ID. Members are `destination` for every campaign and
-- `destination|campaign` for one.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1]  'add' | 'remove': change the list; 'load': add to a new one; 'swap': let the new one take the list's place
--      [2] name of the new list, '' where none is made  [3...] members
-- returns  how many were added or removed
--- include filing
local list, fresh = key('optouts'), key('optouts-new', ARGV[2])
if ARGV[1] == 'swap' then
  if redis.call('EXISTS', fresh) == 0 then return redis.call('DEL', list) end
  redis.call('RENAME', fresh, list)
  redis.call('PERSIST', list)
  return 0
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
return done
