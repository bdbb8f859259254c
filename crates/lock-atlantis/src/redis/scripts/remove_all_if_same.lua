-- Removes values that are still there.
--
-- KEYS  the keys
-- ARGV  the value of each
-- Answers 1 for each, or 0 when something else is there, or nothing.

local removed = {}
for number, key in ipairs(KEYS) do
  removed[number] = 0
  if redis.call('GET', key) == ARGV[number] then
    removed[number] = redis.call('DEL', key)
  end
end
return removed
