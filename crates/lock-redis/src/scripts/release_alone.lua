-- Ends a lease that is alone and that nobody waits for: most releases, in three calls.
--
-- KEYS  1 state
-- ARGV  1 the letter 1 and the request
-- Answers 1 when the lease ended, 0 when nobody holds or it was over, or nothing when there is
-- something else, and the whole command has to decide.

local state = call('GET', KEYS[1])
if not state then
  return 0
end
if sub(state, 1, 17) ~= ARGV[1] then
  return false
end
call('DEL', KEYS[1])
return struct.unpack('>d', state, 34) > now and 1 or 0
