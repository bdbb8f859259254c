-- Ends a request, whether it waits or holds.
--
-- ARGV  3 request  4 whether an answer is outstanding, 1 or 0
-- Answers the time, then dequeued, released or absent.

local request, answer = ARGV[3], 'absent'
begin()
open(SHARED_KEYS, ARGV[2])
local lease, waiter = settle_for(request)
if waiter then
  local silent = silent_at(request)
  leave(request, waiter, waits_alone())
  record('cancelled', show_waiter(request, silent, waiter))
  promote()
  answer = 'dequeued'
elseif lease then
  release(lease)
  answer = 'released'
end
if ARGV[4] == '1' then
  mark(request, lease and lease.token or 0, 'c', now)
end
close()
return { now, answer }
