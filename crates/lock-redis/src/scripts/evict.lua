-- Ends leases or a waiter by force.
--
-- ARGV  3 all, lease or waiter  4 request and 5 token of the only one  6 ending
-- Answers the time, the leases, the waiter or nothing, and 1 when leases are left or 0.

local target, only, token, ending = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local leases, taken, more = {}, '', 0

local function evict_lease(lease)
  leases[#leases + 1] = write_lease(lease)
  remove(lease.request)
  tell_end(lease.mailbox, lease.request, lease.token, ending)
  record('evicted', write_lease(lease), ending)
  mark(lease.request, lease.token, ending, lease.ends)
end

local function evict_all()
  if not many then
    if alone then
      evict_lease(alone)
    end
    return
  end
  local requests = call('ZRANGEBYSCORE', ENDS, after_over(), '+inf', 'LIMIT', 0, EVICT_LIMIT)
  more = holders() > #requests and 1 or 0
  for _, request in ipairs(requests) do
    evict_lease(lease_of(request))
  end
end

local function evict_waiter()
  local waiter = waiter_of(only)
  local silent = waiter and silent_at(only)
  if not waiter or silent <= now then
    return
  end
  taken = show_waiter(only, silent, waiter)
  leave(only, waiter, waits_alone())
  tell_end(waiter.mailbox, only, 0, ending)
  record('waiter evicted', taken, ending)
  mark(only, 0, ending, silent)
  promote()
end

begin()
open(SHARED_KEYS, ARGV[2])
if target == 'waiter' then
  evict_waiter()
else
  if target == 'all' then
    evict_all()
  else
    local lease = named(only, token)
    if lease then
      evict_lease(lease)
    end
  end
  promote()
end
close()
return { now, leases, taken, more }
