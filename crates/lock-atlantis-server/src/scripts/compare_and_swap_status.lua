-- Puts the status of a pull request in the place of the one that was read.
--
-- KEYS  1 the status
-- ARGV  1 "0" if there was none  2 the status that was read  3 the new one
-- Answers 1, or 0 when something else is there.

local there = redis.call("GET", KEYS[1])
if ARGV[1] == "0" then
  if there then return 0 end
elseif not there or there ~= ARGV[2] then
  return 0
end
redis.call("SET", KEYS[1], ARGV[3])
return 1
