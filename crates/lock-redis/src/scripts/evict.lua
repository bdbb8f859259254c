-- Takes leases away from their holders.
--
-- ARGV  3 the only request, or nothing for all  4 by whom  5 why
-- Answers the leases.

open(3, ARGV[2])
local requests = { ARGV[3] }
if ARGV[3] == '' then
  requests = many and call('ZRANGE', ENDS, 0, -1) or { alone and alone.request }
end
local answer = {}
for _, request in ipairs(requests) do
  local lease = lease_of(request)
  if lease then
    answer[#answer + 1] = write_lease(lease)
    record('evicted', write_lease(lease), ARGV[4], ARGV[5])
    remove(request)
  end
end
promote()
close()
return answer
