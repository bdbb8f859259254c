-- Ends a lone lease without waiters: most releases, in three calls.
--
-- KEYS  1 state
-- ARGV  1 the letter 1, the request and the token
-- Answers the time, and 1 when the lease ended or 0 when it is missing or was over; or nothing where
-- the key has more: the full command decides then.

local state = call('GET', KEYS[1])
if not state then
  return { now, 0 }
end
if sub(state, 1, ALONE_GRANTED - 1) ~= ARGV[1] then
  return false
end
-- A refusal by the server is returned as the answer of the full command would be.
if type(redis.pcall('DEL', KEYS[1])) == 'table' then
  return false
end
return { now, struct.unpack('>d', state, ALONE_ENDS) > now and 1 or 0 }
