-- ask: for the caller-IDs of calls. A script without what only `tell` needs: each function is made anew at every run.
--
-- KEYS[1]  tag of the inventory
-- ARGV[1] [2] [3] zone  [4...] for each: 'assign', how many arguments, the arguments (include/assign.lua, together.lua)
-- returns  the answer to each
--- include clock filing whole windows outbox memory reservations choosing policy question assign together
return together({assign = assign})
