-- The question of a call from the arguments `of` its script: `pool`, `ladder` and `policy` are three in a row.
local function question(of, campaign, destination, lead, pool)
  local q = {
    campaign = of[campaign], destination = of[destination], lead = of[lead], pool = of[pool], ladder = of[pool + 1],
    bond = '', seen = '',
  }
  if of[pool + 2] == '' then return q end
  local p = cjson.decode(of[pool + 2])
  q.p = p
  if p.sd then
    local whom = p.sb == 'lead' and q.lead ~= '' and ('lead:' .. q.lead) or (q.destination ~= '' and q.destination)
    if whom then q.bond = key('bond', q.campaign .. ':' .. whom) end
  end
  if p.dm and q.destination ~= '' then q.seen = key('seen', q.destination) end
  return q
end

-- Read what is remembered of the destination and the lead, along with other keys, in one command; returns those' values.
local function recall(q, ...)
  local names = {key('optouts-any'), ...}
  local first = #names
  if q.p then
    -- A key that says nothing of it stands for what is off.
    names[first + 1] = q.bond ~= '' and q.bond or names[1]
    names[first + 2] = q.seen ~= '' and q.seen or names[1]
  end
  local texts = redis.call('MGET', unpack(names))
  q.bond_text, q.seen_text = texts[first + 1], texts[first + 2]
  if texts[1] and q.destination ~= '' then
    local is_listed = redis.call('SMISMEMBER', key('optouts'), q.destination, q.destination .. '|' .. q.campaign)
    q.is_opted_out = is_listed[1] == 1 or is_listed[2] == 1
  end
  return texts
end
