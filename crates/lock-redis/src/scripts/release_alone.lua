-- Ends a lease that is alone and that nobody waits for: most releases, in three calls.
--
-- KEYS  1 state
-- ARGV  1 the letter 1 and the request
-- Answers 1 when the lease ended, 0 when the request does not hold, or nothing when somebody waits
-- or shares, and the whole command has to decide.

local state = call('GET', KEYS[1])
if state and sub(state, 1, 17) == ARGV[1] then
  call('DEL', KEYS[1])
  return struct.unpack('>d', state, 34) > now and 1 or 0
end
if not state or sub(state, 1, 1) == '1' then
  return 0
end
return false
