-- Ends lone leases without waiters: release_alone for many, none of them twice.
--
-- KEYS  the state of each
-- ARGV  of each the letter 1, the request and the token
-- Answers the time, then of each 1 when the lease ended or 0 when it was over; or nothing for each
-- that another command decides.

local answers, ended, unpacked = { now }, {}, struct.unpack
-- A key of another type reads as missing: its own command reports the damage.
local states = call('MGET', unpack(KEYS))
for at = 1, #KEYS do
  local state = states[at]
  if state and sub(state, 1, ALONE_GRANTED - 1) == ARGV[at] then
    ended[#ended + 1] = KEYS[at]
    answers[at + 1] = unpacked('>d', state, ALONE_ENDS) > now and 1 or 0
  else
    answers[at + 1] = false
  end
end
-- A refusal by the server is returned as the answer of each full command would be.
if #ended > 0 and type(redis.pcall('DEL', unpack(ended))) == 'table' then
  for at = 1, #KEYS do
    answers[at + 1] = false
  end
end
return answers
