-- Where caller-IDs are looked for. A place is a pair of sets' common name: `group` or `group:area`.

-- Bring back a few of those whose waiting (or resting) is over, so that none is overlooked at the place that needs it.
local function promote(state, place, now, w, most)
  local over = redis.call('ZRANGEBYSCORE', key(state, place), 1, now, 'LIMIT', 0, most)
  for _, cid in ipairs(over) do
    local c = caller(cid)
    settle(c, now, w)
    save(c)
  end
  return #over
end

-- The least recently used one of a set that may be given to this call. Members are eligible by the rule of the states; one
-- that is not (only a defect could do that) is filed anew and passed over.
local function first_of(set, not_this, now, w)
  for _, cid in ipairs(redis.call('ZRANGE', set, 0, 3)) do
    if cid ~= not_this then
      local c = caller(cid)
      roll(c, w)
      if c.off == '' and c.n < c.mc and eligible_at(c, w) <= now then return c end
      unfile(c)
      c.st, c.sc = 'idle', -1
      settle(c, now, w)
      save(c)
    end
  end
  return nil
end
