-- The choice for one call under its campaign's policy: `policy()` makes `choose`, which walks the ladder under it, and its
-- helpers; calls of campaigns without one never make them. It decides and changes nothing that matters:
-- what it writes is upkeep (the ripe are promoted, bounds are raised), so that explain can run it too.
--
-- The question q: campaign, destination, lead, pool (warm pool or ''), ladder (lines `rung TAB group TAB place`), p (the policy:
-- pool/policy_terms.py has its fields), bond and seen (keys, '' where they are off), bond_text
-- and seen_text (what is in them), trace (nil, or the list that explain fills).

local function policy()
  local OVERFLOW_LOOKS = 16
  local HUNGRY_MS, FAIR_KEPT_MS = 2000, 10000

  -- Why a caller-ID cannot be used now: nil where it can.
  local function obstacle(q, c)
    roll(c)
    if c.cid == q.destination then return 'destination' end
    if c.off == 'resting' and (c.ru == 0 or c.ru > NOW) then return 'resting' end
    if (c.off ~= '' and c.off ~= 'resting') or c.ml == 0 or c.hl == 0 or c.dl == 0 then return 'disabled' end
    if c.n >= c.mc then return 'in_use' end
    if c.dn >= c.dl then return 'daily_cap' end
    if c.dn >= c.sl then return 'soft_cap' end
    if c.hn >= c.hl then return 'hourly_cap' end
    if c.mn >= c.ml then return 'minute_cap' end
    if c.cu > NOW then return 'cool_down' end
    return nil
  end

  -- Fairness. A group is short while a campaign found nothing in it in the last two seconds: it is hungry. Each campaign has a
  -- virtual time, which every caller-ID it gets moves on by 1 / weight (start-time fair queueing); who is ahead of a hungry one
  -- leaves what that one could use. Only groups of several campaigns take part, and nothing is written while none is hungry.
  local function fairness(q, group)
    if not (q.p.shared and q.p.shared[group]) then return nil end
    if q.fair[group] == nil then
      local f, said = {}, redis.call('HGETALL', key('fair', group))
      for i = 1, #said, 2 do f[said[i]] = tonumber(said[i + 1]) end
      f.mine = math.max(f['v:' .. q.campaign] or 0, f['v:'] or 0)
      q.fair[group] = {f = f, is_short = #said > 0}
    end
    return q.fair[group]
  end

  local function yields(q, c)
    local fair = fairness(q, c.g)
    if not fair or not fair.is_short then return false end
    local at = {}
    for _, place in ipairs(places_of(c.leaf)) do at[place] = true end
    for field, value in pairs(fair.f) do
      local other, place = string.match(field, '^h:(.*)\t(.*)$')
      if other and other ~= q.campaign and at[place] and NOW - value < HUNGRY_MS then
        if math.max(fair.f['v:' .. other] or 0, 0) < fair.f.mine then return true end
      end
    end
    return false
  end

  local function served(q, c)
    local fair = fairness(q, c.g)
    if fair and fair.is_short then
      redis.call('HSET', key('fair', c.g), 'v:' .. q.campaign, fair.f.mine + 1 / q.p.w, 'v:', math.max(fair.f.mine, fair.f['v:'] or 0))
    end
  end

  local function is_hungry(q)
    if not q.p.shared or q.p.att then return end
    for _, group, place in ladder(q) do
      local fair = fairness(q, group)
      if fair then
        redis.call('HSET', key('fair', group), 'h:' .. q.campaign .. '\t' .. place, NOW, 'v:' .. q.campaign, fair.f.mine)
        redis.call('PEXPIRE', key('fair', group), FAIR_KEPT_MS)
      end
    end
  end

  -- Whether a place has caller-IDs that are not switched off.
  local function has_any(q, group, place)
    for _, leaf in ipairs(redis.call('SMEMBERS', key('leaves', group .. ':' .. place))) do
      local at = group .. ':' .. leaf
      if is_allowed(q, leaf) and redis.call('EXISTS', key('in_use', at), key('waiting', at), key('resting', at), key('idle', at),
          key('warm', at)) > 0 then
        return true
      end
    end
    return false
  end

  -- One beyond its live calls or its soft cap, where the campaign's share of such calls allows one more: the one with the
  -- fewest live calls, of those the least recently used. A few of each leaf are looked at.
  local function overflow(q, steps)
    local counts = redis.call('HMGET', key('overflow', q.campaign .. ':' .. zones[''].day), 'calls', 'over')
    local calls, over = tonumber(counts[1] or '0'), tonumber(counts[2] or '0')
    if (over + 1) * 100 > q.p.pct * (calls + 1) then return nil end
    local best, best_rung
    local function look(c, rung)
      local why = obstacle(q, c)
      local beyond_calls = why == 'in_use' and c.n < q.p.oc and c.mn < c.ml and c.hn < c.hl and c.dn < c.dl
        and (c.dn < c.sl or q.p.soft)
      local beyond_soft = why == 'soft_cap' and q.p.soft and c.mn < c.ml and c.hn < c.hl and c.cu <= NOW
      if not (beyond_calls or beyond_soft) then return end
      if not best or c.n < best.n or (c.n == best.n and c.lu < best.lu) then best, best_rung = c, rung end
    end
    for _, step in ipairs(steps) do
      for _, leaf in ipairs(redis.call('SMEMBERS', key('leaves', step.group .. ':' .. step.place))) do
        if is_allowed(q, leaf) then
          local at = step.group .. ':' .. leaf
          for _, cid in ipairs(redis.call('ZRANGE', key('in_use', at), 0, OVERFLOW_LOOKS - 1)) do look(caller(cid), step.rung) end
          if q.p.soft then
            for _, cid in ipairs(redis.call('ZREVRANGE', key('waiting', at), 0, OVERFLOW_LOOKS - 1)) do
              look(caller(cid), step.rung)
            end
          end
        end
      end
    end
    return best, best_rung
  end

  -- Those that a destination has seen within the campaign's days: nil where one more may be shown.
  local function only_seen(q)
    if q.seen == '' then return nil end
    local seen, only = seen_from(q.seen_text), {}
    for i = 2, #seen, 3 do
      if seen[i + 1] + q.p.dd > NOW then only[#only + 1] = {cid = seen[i], at = seen[i + 1]} end
    end
    if #only < q.p.dm then return nil end
    table.sort(only, function(a, b) return a.at > b.at or (a.at == b.at and a.cid < b.cid) end)
    return only
  end

  -- The caller-ID this lead is bound to, where it can be used; else why not: resting and capped can end the bond for good.
  local function bound(q, only)
    local b = q.bond ~= '' and bond_from(q.bond_text)
    if not b or b.at + q.p.sd <= NOW then return nil end
    if q.p.su > 0 and b.unanswered >= q.p.su then return nil, nil, 'unanswered', b.cid end
    local c = caller(b.cid)
    local rung = c and rung_of(q, c)
    if not rung then return nil, nil, 'gone' end
    if only then
      local is_seen = false
      for _, one in ipairs(only) do is_seen = is_seen or one.cid == c.cid end
      if not is_seen then return nil, nil, 'gone' end
    end
    local why = obstacle(q, c)
    if not why then return c, rung end
    if why == 'resting' or why == 'disabled' then return nil, nil, 'resting' end
    if string.find(why, '_cap', 1, true) then return nil, nil, 'capped' end
    return nil, nil, 'busy'
  end

  local function note(q, entry)
    if q.trace then q.trace[#q.trace + 1] = entry end
  end

  -- Walk the ladder. Returns the caller-ID, its rung and how it was found; or nil, nil and the reason of the miss.
  local function walk(q)
    local c, found = in_pool(q)
    if c and not yields(q, c) then
      note(q, {rung = found, group = c.g, chosen = c.cid, how = 'warm'})
      return c, found, 'warm'
    end
    local ending = q.p.ex
    local rung_now, steps, is_settled = nil, {}, not ending
    local function exhausted()
      if is_settled then return nil end
      local is_there = false
      for _, step in ipairs(steps) do is_there = is_there or has_any(q, step.group, step.place) end
      if not is_there then return nil end
      is_settled = true
      note(q, {rung = rung_now, exhausted = ending})
      if ending ~= 'overflow' then return {reason = ending == 'refuse' and 'refused' or 'none_free'} end
      local c, rung = overflow(q, steps)
      if c then return {c = c, rung = rung} end
    end
    local function at_end_of_rung()
      local verdict = exhausted()
      if not verdict then return false end
      if verdict.c then note(q, {rung = verdict.rung, group = verdict.c.g, chosen = verdict.c.cid, how = 'overflow'}) end
      return true, verdict.c, verdict.rung, verdict.c and 'overflow' or verdict.reason
    end
    for rung, group, place in ladder(q) do
      if rung_now and rung ~= rung_now then
        local is_over, one, of_rung, how = at_end_of_rung()
        if is_over then return one, of_rung, how end
        steps = {}
      end
      local is_further = rung_now
      rung_now = rung
      steps[#steps + 1] = {rung = rung, group = group, place = place}
      c = at_step(q, group, place, is_further)
      local is_left = c and yields(q, c)
      if q.trace then
        note(q, {rung = rung, group = group, place = place, chosen = c and not is_left and c.cid or nil,
          left = is_left and c.cid or nil, how = c and (c.st == 'warm' and 'warm' or 'free') or nil})
      end
      if c and not is_left then return c, rung, c.st == 'warm' and 'warm' or 'free' end
    end
    if rung_now then
      local is_over, one, of_rung, how = at_end_of_rung()
      if is_over then return one, of_rung, how end
    end
    if not rung_now then return nil, nil, 'no_groups' end
    return nil, nil, ending == 'refuse' and 'refused' or 'none_free'
  end

  -- Returns the caller-ID, its rung, how it was found (sticky, seen, warm, free, overflow), and what became of the bond before (''
  -- or why it did not hold); or nil, nil, the reason of the miss and its detail.
  local function choose(q)
    q.fair, q.att = {}, q.p.att
    local only = only_seen(q)
    local c, rung, broken, not_this = bound(q, only)
    if c then
      note(q, {rung = rung, group = c.g, chosen = c.cid, how = 'sticky'})
      return c, rung, 'sticky', ''
    end
    if broken then note(q, {bond = broken}) end
    if only then
      for pass = 1, 2 do
        for _, one in ipairs(only) do
          c = (pass == 2 or one.cid ~= not_this) and caller(one.cid)
          rung = c and rung_of(q, c)
          if rung and not obstacle(q, c) then
            note(q, {rung = rung, group = c.g, chosen = c.cid, how = 'seen'})
            return c, rung, 'seen', broken or ''
          end
        end
      end
      note(q, {distinct = #only})
      return nil, nil, q.p.ex == 'refuse' and 'refused' or 'none_free', 'distinct'
    end
    local how
    q.not_this = not_this
    c, rung, how = walk(q)
    if not c and not_this then
      q.not_this = nil
      c, rung, how = walk(q)
    end
    if not c and how ~= 'no_groups' and not q.trace then is_hungry(q) end
    return c, rung, how, broken or ''
  end

  return choose, served, obstacle
end
