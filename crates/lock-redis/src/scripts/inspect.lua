-- Shows who holds a key and who waits for it.
--
-- ARGV  3 the most leases and waiters to show
-- Answers the time, how many hold, the leases, how many wait, the waiters.

open(3, ARGV[2])
local most = tonumber(ARGV[3])
local leases, waiters = {}, {}
if many then
  for _, request in ipairs(call('ZRANGE', ENDS, 0, most - 1)) do
    leases[#leases + 1] = call('HGET', DETAILS, 'h' .. request)
  end
elseif alone then
  leases[1] = write_lease(alone)
end
local from = 0
while queued and #waiters < most do
  local members = call('ZRANGE', QUEUE, from, from + 99)
  if #members == 0 then
    break
  end
  from = from + #members
  for _, name in ipairs(members) do
    local request = sub(name, 7)
    local silent = silent_at(request)
    if silent > now and #waiters < most then
      waiters[#waiters + 1] = show_waiter(request, silent, call('HGET', DETAILS, 'w' .. request))
    end
  end
end
close()
return { now, holders(), leases, queued and call('ZCARD', QUEUE) or 0, waiters }
