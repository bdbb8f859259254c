-- Ends a lease that is alone and that nobody waits for: most releases, in three calls.
--
-- KEYS  1 state
-- ARGV  1 the letter 1, the request and the token
-- Answers the time, and 1 when the lease ended or 0 when there is none or it was over; or nothing
-- when there is something else, and the whole command has to decide.

local state = call('GET', KEYS[1])
if not state then
  return { now, 0 }
end
if sub(state, 1, ALONE_GRANTED - 1) ~= ARGV[1] then
  return false
end
-- What a server refuses, the whole command is refused by its word.
if type(redis.pcall('DEL', KEYS[1])) == 'table' then
  return false
end
return { now, struct.unpack('>d', state, ALONE_ENDS) > now and 1 or 0 }
