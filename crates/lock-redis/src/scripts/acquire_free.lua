-- Grants a key that nobody holds or waits for: the whole of most acquires, in three calls.
--
-- KEYS  1 state  2 token
-- ARGV  1 the letter 1 and the request  2 ttl in us, 0 is never
--       3 the flag 0, the mailbox and the terms  4 time in ms for which the state is kept, or 0
-- Answers the time, which is the token too; or the time and the token; or nothing where the key is
-- in use, has marks, or the last or the next token is missing: the full command decides then.

local ends = ARGV[2] == '0' and NEVER or now + ARGV[2]
local state = ARGV[1] .. struct.pack(TERM_FORMAT, now, now, ends) .. ARGV[3]
local set
if ARGV[4] == '0' then
  set = redis.pcall('SET', KEYS[1], state, 'NX')
else
  set = redis.pcall('SET', KEYS[1], state, 'PX', ARGV[4], 'NX')
end
-- A refusal by the server is returned as the answer of the full command would be.
if not set or set.err then
  return false
end
local last = call('GETSET', KEYS[2], now)
if not last then
  call('DEL', KEYS[1], KEYS[2])
  return false
end
if last + 1 >= NEVER or now >= LAST_CLOCK then
  call('DEL', KEYS[1])
  call('SET', KEYS[2], last)
  return false
end
if last - now >= 0 then
  -- The clock stands or jumped back: this is so rare that writing twice is cheaper.
  local token = last + 1
  call('SET', KEYS[2], token)
  call('SET', KEYS[1], ARGV[1] .. struct.pack(TERM_FORMAT, token, now, ends) .. ARGV[3], 'KEEPTTL')
  return { now, token }
end
return now
