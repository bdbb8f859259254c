-- Keeps a value where there is none.
--
-- KEYS  1 the key
-- ARGV  1 the value
-- Answers the value that is there already, or nothing.

local held = redis.call('GET', KEYS[1])
if not held then
  redis.call('SET', KEYS[1], ARGV[1])
end
return held
