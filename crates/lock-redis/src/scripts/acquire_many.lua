-- Grants keys that nobody holds or waits for: acquire_free for many, none of them twice.
--
-- KEYS  1 token, then the state of each
-- ARGV  of each: the letter 1 and the request, ttl in us, the flag 0 with mailbox and terms, and the
--       time in ms for which the state is kept, as for acquire_free
-- Answers the time, then the token of each; or nothing for each that the full command decides.

local answers, last = { now }, redis.pcall('GET', KEYS[1])
if type(last) ~= 'string' or now >= LAST_CLOCK then
  for at = 2, #KEYS do
    answers[at] = false
  end
  return answers
end
local first = math.max(last + 1, now)
local token, arg, set, packed = first, 1, redis.pcall, struct.pack
for at = 2, #KEYS do
  local ttl, kept, granted = ARGV[arg + 1], ARGV[arg + 3], nil
  if token < NEVER then
    local state = ARGV[arg] .. packed(TERM_FORMAT, token, now, ttl == '0' and NEVER or now + ttl)
      .. ARGV[arg + 2]
    -- A failure of one leaves the others alone.
    if kept == '0' then
      granted = set('SET', KEYS[at], state, 'NX')
    else
      granted = set('SET', KEYS[at], state, 'PX', kept, 'NX')
    end
  end
  arg = arg + 4
  if granted and granted.ok then
    answers[at] = token
    token = token + 1
  else
    answers[at] = false
  end
end
if token > first then
  call('SET', KEYS[1], token - 1)
end
return answers
