-- Calendar windows of the limits. Python says how far a zone is from UTC, now and after its next change, so that a day is
-- the operator's day also when the clocks change; an hour keeps a number of its own when one is lived twice.
local NOW, NOW_EXACT
-- The windows of each zone at this moment; the inventory's own zone, named '', comes with the script's arguments.
local zones, zone_said

-- A script begins with this: all that it does is about one inventory, and happens at one moment.
local function begin(tag)
  work_on(tag)
  NOW, NOW_EXACT = now_ms(tag)
  zones, zone_said = {}, {}
end

local function windows(now, offset_s, change_at_s, next_offset_s)
  local s = math.floor(now / 1000)
  local offset = offset_s
  if s >= change_at_s then offset = next_offset_s end
  local part = offset % 3600
  local minute = math.floor(s / 60)
  local hour = math.floor((s + part) / 3600)
  local day = math.floor((s + offset) / 86400)
  local day_end = (day + 1) * 86400 - offset
  if s < change_at_s and day_end > change_at_s then day_end = (day + 1) * 86400 - next_offset_s end
  return {
    minute = minute, minute_end = (minute + 1) * 60000,
    hour = hour, hour_end = ((hour + 1) * 3600 - part) * 1000,
    day = day, day_end = day_end * 1000,
  }
end

local function set_zone(offset_s, change_at_s, next_offset_s)
  zone_said[''] = {tonumber(offset_s), tonumber(change_at_s), tonumber(next_offset_s)}
  zones[''] = windows(NOW, unpack(zone_said['']))
end

-- What is known of a zone: a zone that nobody described is taken for the inventory's.
local function zone_of(z)
  if not zone_said[z] then
    local said = redis.call('HGET', key('zones'), z)
    local offset, change, following = string.match(said or '', '^(%S+) (%S+) (%S+)$')
    zone_said[z] = offset and {tonumber(offset), tonumber(change), tonumber(following)} or zone_said['']
  end
  return zone_said[z]
end

local function window_of(z)
  local w = zones[z]
  if not w then
    w = windows(NOW, unpack(zone_of(z)))
    zones[z] = w
  end
  return w
end

-- Start a new count where the window has changed.
local function roll(c)
  local w = window_of(c.z)
  if c.mw ~= w.minute then c.mw, c.mn = w.minute, 0 end
  if c.hw ~= w.hour then c.hw, c.hn = w.hour, 0 end
  if c.dw ~= w.day then c.dw, c.dn = w.day, 0 end
  return w
end

-- When this caller-ID may be used again; a time that is not after NOW means now. Roll it first.
local function eligible_at(c)
  local w, at = window_of(c.z), c.cu
  if c.mn >= c.ml and w.minute_end > at then at = w.minute_end end
  if c.hn >= c.hl and w.hour_end > at then at = w.hour_end end
  if (c.dn >= c.dl or c.dn >= c.sl) and w.day_end > at then at = w.day_end end
  return at
end

-- File a caller-ID where the rule of the states puts it (ami_rotator/domain/types.py, State). A warm one stays warm while
-- it is eligible.
local function settle(c)
  roll(c)
  if c.off == 'resting' and c.ru > 0 and c.ru <= NOW then c.off, c.ru = '', 0 end
  if c.n >= c.mc then return file(c, 'in_use', c.lu) end
  if c.off == 'resting' then return file(c, 'resting', c.ru > 0 and c.ru or NEVER) end
  if c.off ~= '' or c.ml == 0 or c.hl == 0 or c.dl == 0 then return file(c, 'disabled', 0) end
  local at = eligible_at(c)
  if at > NOW then return file(c, 'waiting', at) end
  if c.st ~= 'warm' then return file(c, 'idle', c.lu) end
end
