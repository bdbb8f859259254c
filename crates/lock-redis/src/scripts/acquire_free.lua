-- Grants a key that nobody holds or waits for: the whole of most acquires, in three calls.
--
-- KEYS  1 state  2 token
-- ARGV  1 the letter 1 and the request  2 ttl in us, 0 is never
--       3 the flag 0, the mailbox and the terms
-- Answers the time, which is the token too; or the time and the token; or nothing when there is
-- anything, marks included, and the whole command has to decide.

local ends = ARGV[2] == '0' and 9007199254740992 or now + ARGV[2]
if call('SETNX', KEYS[1], ARGV[1] .. struct.pack('>ddd', now, now, ends) .. ARGV[3]) == 0 then
  return false
end
local last = call('GETSET', KEYS[2], now)
if last and last - now >= 0 then
  -- The clock stands or jumped back: this is so rare that writing twice is cheaper.
  local token = last + 1
  call('SET', KEYS[2], token)
  call('SET', KEYS[1], ARGV[1] .. struct.pack('>ddd', token, now, ends) .. ARGV[3])
  return { now, token }
end
return now
