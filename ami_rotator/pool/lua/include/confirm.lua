-- confirm: a trunk leg of the call exists and showed this number.
--
-- The reservation lives on for a whole lifetime from now. Where another number was shown (assigned too late, or only
-- observed), ours never reached the carrier: it goes back at once and uncounted, and the record of the call goes on.
-- Saying it again for the same trunk changes nothing. Error NOTWHOLE until everything is brought back (include/whole.lua).
--
-- of[1]  dialer  [2] code  [3] uniqueid  [4] number shown, E.164 or raw, '' unknown  [5] uniqueid of the trunk
--   [6]  lifetime in ms
-- returns  {'confirmed' | 'other_number' | 'same' | 'ended', id, caller-ID}  or  {'unknown'}
local function confirm(of)
  local shown, trunk = of[4], of[5]
  local r = find(of[1], of[2], of[3])
  if not r then return not_known({'unknown'}) end
  if not is_live(r) then return {'ended', r.id, r.cid} end
  redis.call('ZADD', key('expiries'), NOW + tonumber(of[6]), r.id)
  if r.tk == trunk and (trunk ~= '' or r.pres == shown) then return {'same', r.id, r.cid} end
  local matches = shown == r.cid or shown == ''
  if not matches and r.held then
    give_back(r, false)
    r.held = false
  end
  r.tk, r.pres = trunk, shown
  link(r, of[1], of[3])
  link(r, of[1], trunk)
  save_reservation(r, 'KEEPTTL')
  append('presented', r.id, r.at, 'presented', shown, 'trunk', trunk, 'match', matches and '1' or '0')
  return {matches and 'confirmed' or 'other_number', r.id, r.cid}
end
