-- Where caller-IDs are looked for: in places (include/filing.lua), the least recently used first.

-- Bring back a few of those whose waiting (or resting) is over, so that none is overlooked at the place that needs it.
local function promote(state, group, place, most)
  local at, done = key(state .. '-at', group .. ':' .. place), 0
  while done < most do
    local top = redis.call('ZRANGE', at, 0, 0, 'WITHSCORES')
    if not top[1] or tonumber(top[2]) > NOW then break end
    local set = key(state, group .. ':' .. top[1])
    local over = redis.call('ZRANGEBYSCORE', set, '-inf', NOW, 'LIMIT', 0, most - done)
    for _, cid in ipairs(over) do
      local c = caller(cid)
      settle(c)
      save(c)
    end
    done = done + #over
    local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
    if first[1] then
      redis.call('ZADD', at, first[2], top[1])
    else
      redis.call('ZREM', at, top[1])
    end
  end
  return done
end

-- What a question says of the caller-IDs it wants: `destination` and `not_this` are not wanted, `att` are the attestations
-- that will do (nil: any), `unused` leaves out those that share a live call.
local function is_allowed(q, leaf)
  if not q.att then return true end
  local has = attestation_of(leaf)
  return has ~= '' and string.find(q.att, has, 1, true) ~= nil
end

local function is_wanted(q, c)
  return c.cid ~= q.destination and c.cid ~= q.not_this and not (q.unused and c.n > 0)
end

-- The first one of a set that is wanted and may be given to a call now, its score, and the score of the first of all. Members
-- are eligible by the rule of the states; one that is not (only a defect could do that) is filed anew and passed over.
local function first_in(set, q)
  local head, from = nil, 0
  while true do
    local some = redis.call('ZRANGE', set, from, from + 1, 'WITHSCORES')
    head = head or tonumber(some[2])
    for i = 1, #some, 2 do
      local c = caller(some[i])
      roll(c)
      if c.off ~= '' or c.n >= c.mc or eligible_at(c) > NOW then
        unfile(c)
        settle(c)
        save(c)
      elseif is_wanted(q, c) then
        return c, tonumber(some[i + 1]), head
      end
    end
    if #some < 4 then return nil, nil, head end
    from = from + 2
  end
end

-- The least recently used wanted one of a place. One leaf after the other is looked in, until the next one's bound tells that
-- it has nothing older; a bound that is too low is raised on the way.
local function first_at(state, group, place, q)
  local at, from, best, best_score = key(state .. '-at', group .. ':' .. place), 0, nil, nil
  while true do
    local top = redis.call('ZRANGE', at, from, from + 1, 'WITHSCORES')
    local leaf = top[1]
    if not leaf then return best end
    local lowest, following = tonumber(top[2]), tonumber(top[4])
    if best and lowest >= best_score then return best end
    if q.att and not is_allowed(q, leaf) then
      from = from + 1
    else
      local c, score, head = first_in(key(state, group .. ':' .. leaf), q)
      if not head then
        redis.call('ZREM', at, leaf)
      elseif c and (not following or score <= following) then
        if best and best_score < score then return best end
        return c
      elseif head > lowest then
        redis.call('ZADD', at, head, leaf)
      else
        if c and (not best or score < best_score) then best, best_score = c, score end
        from = from + 1
      end
    end
  end
end

-- The steps of a ladder: lines `rung TAB group TAB place`.
local function ladder(q)
  return string.gmatch(q.ladder, '([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\n')
end

-- The first step of the ladder that a caller-ID fits; nil where the campaign may not use it for this call.
local function rung_of(q, c)
  if not is_allowed(q, c.leaf) then return nil end
  local places = {}
  for _, place in ipairs(places_of(c.leaf)) do places[place] = true end
  for rung, group, place in ladder(q) do
    if group == c.g and places[place] then return rung end
  end
  return nil
end

local function in_pool(q)
  if q.pool == '' then return nil end
  local c = first_in(key('pool', q.pool), q)
  local rung = c and rung_of(q, c)
  if rung then return c, rung end
  return nil
end

-- The first step of a ladder mostly has one; of the others most are empty (`is_further`), which one command tells.
local function at_step(q, group, place, is_further)
  if is_further then
    local at = group .. ':' .. place
    if redis.call('EXISTS', key('waiting-at', at), key('idle-at', at), key('warm-at', at)) == 0 then return nil end
  end
  promote('waiting', group, place, 4)
  return first_at('idle', group, place, q) or first_at('warm', group, place, q)
end

-- Walk the ladder of a campaign that has no policy beyond it. Returns the caller-ID, its rung and how it was found; or nil, nil
-- and the reason of the miss.
local function choose_plainly(q)
  local c, found = in_pool(q)
  if c then return c, found, 'warm' end
  for rung, group, place in ladder(q) do
    c = at_step(q, group, place, found)
    found = rung
    if c then return c, rung, c.st == 'warm' and 'warm' or 'free' end
  end
  return nil, nil, found and 'none_free' or 'no_groups'
end
