-- Ends a request, whether it waits or holds.
--
-- ARGV  3 request
-- Answers dequeued, released or absent.

open(3, ARGV[2])
local request, answer = ARGV[3], nil
local waiter = waiter_of(request)
if waiter then
  local silent = silent_at(request)
  leave(request, waiter, waits_alone())
  record('cancelled', show_waiter(request, silent, waiter.text))
  promote()
  answer = 'dequeued'
else
  answer = release(request) and 'released' or 'absent'
end
close()
return answer
