-- What is remembered of people called: the caller-ID a lead is bound to (sticky), and those that a destination has seen. Both
-- are keys that expire by themselves; a Redis that was emptied has forgotten them, which hurts no call.

-- A bond: the caller-ID, when it was shown last, by which reservation, and unanswered calls in a row.
local function bond_from(text)
  if not text then return nil end
  local v = cmsgpack.unpack(text)
  return {cid = v[1], at = v[2], id = v[3], unanswered = v[4]}
end

local function save_bond(name, b, ...)
  redis.call('SET', name, cmsgpack.pack({b.cid, b.at, b.id, b.unanswered}), ...)
end

-- The call that made a bond never reached the carrier: nobody saw it.
local function unbind(r)
  local b = bond_from(redis.call('GET', r.bond))
  if b and b.id == r.id and b.cid == r.cid then redis.call('DEL', r.bond) end
end

-- A call ended; what nobody knows the outcome of says nothing.
local function attempted(r, outcome)
  if outcome == 'expired' or outcome == 'unknown' then return end
  local b = bond_from(redis.call('GET', r.bond))
  if not b or b.cid ~= r.cid then return end
  b.unanswered = outcome == 'answered' and 0 or b.unanswered + 1
  save_bond(r.bond, b, 'KEEPTTL')
end

-- What a destination has seen: how long it is kept, then three a caller-ID: number, last shown, shown before that (0: never).
local function seen_from(text)
  if not text then return {0} end
  return cmsgpack.unpack(text)
end

local function save_seen(name, seen)
  if #seen == 1 then return redis.call('DEL', name) end
  redis.call('SET', name, cmsgpack.pack(seen), 'PX', seen[1])
end

-- Write down that a destination sees a caller-ID now, and forget what was too long ago.
local function see(name, seen, cid, keep_ms)
  local kept, before = {math.max(seen[1], keep_ms)}, 0
  for i = 2, #seen, 3 do
    if seen[i] == cid then
      before = seen[i + 1]
    elseif seen[i + 1] + kept[1] > NOW then
      for n = 0, 2 do kept[#kept + 1] = seen[i + n] end
    end
  end
  for _, part in ipairs({cid, NOW, before}) do kept[#kept + 1] = part end
  save_seen(name, kept)
end

-- The call never reached the carrier: the destination has not seen it this time.
local function unsee(r)
  local seen = seen_from(redis.call('GET', r.seen))
  local kept = {seen[1]}
  for i = 2, #seen, 3 do
    local at, before = seen[i + 1], seen[i + 2]
    if seen[i] == r.cid and at == r.at then at, before = before, 0 end
    if at > 0 then
      for _, part in ipairs({seen[i], at, before}) do kept[#kept + 1] = part end
    end
  end
  save_seen(r.seen, kept)
end
