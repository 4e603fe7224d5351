-- calls: tell what is known of reservations.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1...]  reservation ids
-- returns  {now ms, then for each that there is JSON of its record (include/reservations.lua)}
--- include clock filing windows outbox memory reservations
begin(KEYS[1])
local found = {whole(NOW)}
for _, id in ipairs(ARGV) do
  local r = reservation(id)
  if r then found[#found + 1] = cjson.encode(r) end
end
return found
