-- Calendar windows of the limits. Python says how far the zone is from UTC, now and after its next change, so that a day is
-- the operator's day also when the clocks change; an hour keeps a number of its own when one is lived twice.
local function windows(now, offset_s, change_at_s, next_offset_s)
  local s = math.floor(now / 1000)
  local offset = offset_s
  if s >= change_at_s then offset = next_offset_s end
  local part = offset % 3600
  local hour = math.floor((s + part) / 3600)
  local day = math.floor((s + offset) / 86400)
  local day_end = (day + 1) * 86400 - offset
  if s < change_at_s and day_end > change_at_s then day_end = (day + 1) * 86400 - next_offset_s end
  return {
    hour = hour, hour_end = ((hour + 1) * 3600 - part) * 1000,
    day = day, day_end = day_end * 1000,
  }
end

-- Start a new count where the window has changed.
local function roll(c, w)
  if c.hw ~= w.hour then c.hw, c.hn = w.hour, 0 end
  if c.dw ~= w.day then c.dw, c.dn = w.day, 0 end
end

-- When this caller-ID may be used again; a time that is not after `now` means now.
local function eligible_at(c, w)
  local at = c.cu
  if c.hn >= c.hl and w.hour_end > at then at = w.hour_end end
  if c.dn >= c.dl and w.day_end > at then at = w.day_end end
  return at
end

-- File a caller-ID where the rule of the states puts it (ami_rotator/domain/types.py, State). A warm one stays warm while
-- it is eligible.
local function settle(c, now, w)
  roll(c, w)
  if c.off == 'resting' and c.ru > 0 and c.ru <= now then c.off, c.ru = '', 0 end
  if c.n >= c.mc then return file(c, 'in_use', c.lu) end
  if c.off == 'resting' then return file(c, 'resting', c.ru) end
  if c.off ~= '' or c.hl == 0 or c.dl == 0 then return file(c, 'disabled', 0) end
  local at = eligible_at(c, w)
  if at > now then return file(c, 'waiting', at) end
  if c.st ~= 'warm' then return file(c, 'idle', c.lu) end
end
