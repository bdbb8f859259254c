-- Keeps waiters alive, and claims the leases of those that were granted.
--
-- KEYS  of as many locks as there are
-- ARGV  2 nothing, then a batch with request and mailbox of each waiter
-- Answers the time, and for each request granted and the lease, queued and the place, ended and
-- how, or absent; or nothing when it belongs into another command.

return for_each(2, function(at)
  local request, mailbox = ARGV[at], ARGV[at + 1]
  local lease, waiter = settle_for(request)
  if lease then
    claim(lease, mailbox)
    return { 'granted', write_lease(lease) }
  end
  if waiter then
    return place('queued', keep_waiting(request, waiter, mailbox))
  end
  local ending = end_of(request)
  return ending and { 'ended', ending } or { 'absent' }
end)
