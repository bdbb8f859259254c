-- Lets a process hear of the grant of a request.
--
-- ARGV  3 request  4 process
-- Answers granted and the lease, waiting and the terms, or absent.

open(3, ARGV[2])
local request = ARGV[3]
local lease, waiter = lease_of(request), waiter_of(request)
if waiter then
  call('HSET', DETAILS, 'w' .. request, sub(waiter.text, 1, 26) .. ARGV[4] .. waiter.terms)
end
close()
if lease then
  return { 'granted', write_lease(lease) }
end
return waiter and { 'waiting', waiter.terms } or { 'absent' }
