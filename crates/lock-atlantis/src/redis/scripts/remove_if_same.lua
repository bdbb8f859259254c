-- Removes a value if it is still there.
--
-- KEYS  1 the key
-- ARGV  1 the value
-- Answers 1, or 0 when something else is there, or nothing.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
