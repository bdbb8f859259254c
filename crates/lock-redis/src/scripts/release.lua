-- Ends a lease by its name.
--
-- ARGV  3 request  4 token
-- Answers the time, and 1, or 0 when there is no such lease, or how it was ended.

local token = tonumber(ARGV[4])
begin()
open(SHARED_KEYS, ARGV[2])
local lease = named(ARGV[3], token)
local answer = 1
if lease then
  release(lease)
else
  answer = end_of(ARGV[3], token) or 0
end
close()
return { now, answer }
