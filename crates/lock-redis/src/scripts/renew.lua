-- Makes leases last their ttl from now.
--
-- KEYS  of as many locks as there are
-- ARGV  2 nothing, then a batch with request, token, ttl in ms and mailbox of each lease
-- Answers the time, and for each lease its end; or 0 when there is no such lease, or how it was
-- ended, or nothing when it belongs into another command.

return for_each(4, function(at)
  local request, token, ttl, mailbox = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
  local lease = named(request, token)
  if not lease then
    return end_of(request, token) or 0
  end
  if mailbox ~= NOWHERE then
    lease.mailbox = mailbox
  end
  lease.unclaimed = false
  lease.ends = end_after(ttl * 1000)
  if string.match(lease.terms, '^%S+ (%d+)') ~= ttl then
    lease.terms = mode_of(lease.terms) .. ' ' .. ttl .. string.match(lease.terms, '^%S+ %d+(.*)$')
  end
  put(lease)
  return lease.ends
end)
