-- Puts a value in the place of another, if that is still there.
--
-- KEYS  1 the key
-- ARGV  1 the new value  2 the value that should be there; left out when there should be none
-- Answers 1, or 0 when something else is there.

if redis.call('GET', KEYS[1]) ~= (ARGV[2] or false) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
