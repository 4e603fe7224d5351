-- explain: what assign would answer now, and why. Nothing is reserved, counted or recorded.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1] [2] [3] zone  [4] campaign  [5] destination E.164 or ''  [6] lead  [7] warm pool  [8] ladder  [9] policy (as assign)
--      [10] how many passed over to name at each step
-- returns  JSON: {found = {caller-ID, rung, how, why the bond did not hold}  or  missed = {reason, detail}, steps = {...}}. A step
--      that was walked has rung, group, place, counts by state, and passed: {number, why, until ms (0: not known)}
--- include clock filing windows memory choosing policy question
begin(KEYS[1])
set_zone(ARGV[1], ARGV[2], ARGV[3])
local q = question(ARGV, 4, 5, 6, 7)
recall(q)
q.p, q.trace = q.p or {}, {}
if q.is_opted_out then return cjson.encode({missed = {'opted_out', ''}}) end
local choose, _, obstacle = policy()
local c, rung, how, broken = choose(q)

local until_of = {
  resting = function(c) return c.ru end,
  cool_down = function(c) return c.cu end,
  minute_cap = function(c) return window_of(c.z).minute_end end,
  hourly_cap = function(c) return window_of(c.z).hour_end end,
  daily_cap = function(c) return window_of(c.z).day_end end,
  soft_cap = function(c) return window_of(c.z).day_end end,
}

local most = tonumber(ARGV[10])
for _, step in ipairs(q.trace) do
  if step.group and step.place then
    step.counts, step.passed = {}, {}
    for _, leaf in ipairs(redis.call('SMEMBERS', key('leaves', step.group .. ':' .. step.place))) do
      for _, state in ipairs({'idle', 'warm', 'in_use', 'waiting', 'resting', 'disabled'}) do
        local set = key(state, step.group .. ':' .. leaf)
        local n = redis.call('ZCARD', set)
        if n > 0 then step.counts[state] = (step.counts[state] or 0) + n end
        local is_usable_state = state == 'idle' or state == 'warm'
        if n > 0 and #step.passed < most and (not step.chosen or not is_usable_state) then
          for _, cid in ipairs(redis.call('ZRANGE', set, 0, most - #step.passed - 1)) do
            local one = caller(cid)
            local why = obstacle(q, one) or (not is_allowed(q, leaf) and 'attestation') or (step.left == cid and 'left_to_others')
              or 'not_reached'
            step.passed[#step.passed + 1] = {cid, why, until_of[why] and until_of[why](one) or 0}
          end
        end
      end
    end
  end
end
local answer = {steps = q.trace}
if c then
  answer.found = {c.cid, rung, how, broken, c.g, area_of(c)}
else
  answer.missed = {how, broken}
end
return cjson.encode(answer)
