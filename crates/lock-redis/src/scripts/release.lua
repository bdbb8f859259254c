-- Ends the lease that a request holds.
--
-- ARGV  3 request
-- Answers 1, or 0 when the request does not hold.

open(3, ARGV[2])
local answer = release(ARGV[3]) and 1 or 0
close()
return answer
