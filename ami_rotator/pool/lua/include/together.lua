-- What calls that waited at the same moment ask, one after the other, as if each had come alone.
--
-- Each is atomic and safe to send twice by itself, so all of them are. An error of one is its answer and stops no other; but
-- that of a replica is the whole answer, so that its client leaves it.
-- Most of what a script costs is its beginning: here many calls share it.
--
-- `asked`: functions by name, each of its arguments and how many were asked before it.
-- args[1] [2] [3] zone: offset s, next change at s, offset s after it
--      [4...] for each: name, how many arguments, the arguments
-- Returns the answer to each.
local function together(asked, args)
  set_zone(args[1], args[2], args[3])
  local answers, at = {}, 4
  while args[at] do
    local last = at + 1 + args[at + 1]
    local is_well, answer = pcall(asked[args[at]], {unpack(args, at + 2, last)}, #answers)
    if not is_well and type(answer) ~= 'table' then answer = redis.error_reply(answer) end
    if type(answer) == 'table' and answer.err and string.find(answer.err, '^%-?READONLY') then return answer end
    answers[#answers + 1] = answer
    at = last + 1
  end
  return answers
end
