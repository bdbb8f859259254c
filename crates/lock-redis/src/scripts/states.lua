-- Reads the states of keys, as far as their bytes fit one answer.
--
-- KEYS  states
-- ARGV  1 number of bytes from which on no more are read
-- Answers the time, and for each of the first keys its state, nothing when there is none, or an
-- empty text when it is none.

local answer, bytes = { now }, 0
for at, key in ipairs(KEYS) do
  local state = redis.pcall('GET', key)
  if type(state) == 'table' then
    state = ''
  end
  answer[at + 1] = state
  bytes = bytes + (state and #state or 0)
  if bytes >= tonumber(ARGV[1]) then
    break
  end
end
return answer
