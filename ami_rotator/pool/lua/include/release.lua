-- release: the call is over; its caller-ID goes to waiting (cool-down, cap) or idle. A second time changes nothing.
-- Error NOTWHOLE until everything is brought back (include/whole.lua).
--
-- of[1]  reservation id or '' (then by call)  [2] dialer  [3] code  [4] uniqueid
--   [5]  outcome  [6] Q.850 cause  [7] SIP code  [8] talk time ms  [9] 1: reached the carrier, 0: never dialled
-- returns  {'released' | 'already', id, caller-ID}  or  {'unknown'}
local function release(of)
  local r
  if of[1] ~= '' then r = reservation(of[1]) else r = find(of[2], of[3], of[4]) end
  if not r then return not_known({'unknown'}) end
  local is_first = finish(r, of[5], of[6], of[7], of[8], of[9] == '1')
  return {is_first and 'released' or 'already', r.id, r.cid}
end
