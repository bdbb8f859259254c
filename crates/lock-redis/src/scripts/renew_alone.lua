-- Extends lone leases without waiters to their ttl from now.
--
-- KEYS  the state of each
-- ARGV  of each the letter 1, the request and the token; the ttl in ms, 0 is never; and the mailbox
-- Answers the time, then the end of each; or nothing for each that the full command decides.

local BYTE_LIMIT = 262144
local answers, bytes = { now }, 0
for at = 1, #KEYS do
  local arg = 3 * at - 2
  local ttl = ARGV[arg + 1]
  -- A failure of one leaves the others alone.
  local state = bytes < BYTE_LIMIT and redis.pcall('GET', KEYS[at])
  answers[at + 1] = false
  if type(state) == 'string' and sub(state, 1, ALONE_GRANTED - 1) == ARGV[arg] then
    bytes = bytes + #state
    local ends, flag, mailbox = struct.unpack('>dc1c16', state, ALONE_ENDS)
    if ends > now and (flag == '0' or flag == '1')
        and string.match(state, '^%S+ (%d+)', ALONE_TERMS) == ttl then
      ends = ttl == '0' and NEVER or now + ttl * 1000
      if ARGV[arg + 2] ~= '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' then
        mailbox = ARGV[arg + 2]
      end
      state = sub(state, 1, ALONE_ENDS - 1) .. struct.pack('>dc1', ends, '0') .. mailbox
        .. sub(state, ALONE_TERMS)
      local set
      if ttl == '0' then
        set = redis.pcall('SET', KEYS[at], state)
      else
        set = redis.pcall('SET', KEYS[at], state, 'PX', ttl + GRACE)
      end
      answers[at + 1] = set.ok and ends
    end
  end
end
return answers
