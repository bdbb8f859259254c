-- Repairs a lock whose structures do not match; its cost is not bounded.
--
-- Answers the time, and the numbers of leases and of waiters that were kept, and of those that were
-- dropped.

begin()
name(SHARED_KEYS, ARGV[2])
local report = repair(true)
if report.dropped_leases + report.dropped_waiters > 0 then
  tell_lost()
end
record('repaired', report.leases .. ' ' .. report.waiters,
  report.dropped_leases .. ' ' .. report.dropped_waiters)
open(SHARED_KEYS, ARGV[2])
close()
return { now, report.leases, report.waiters, report.dropped_leases, report.dropped_waiters }
