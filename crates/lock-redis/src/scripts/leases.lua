-- Returns a part of the live leases of a key.
--
-- ARGV  3 cursor of the walk over the leases, 0 at first  4 maximum number of leases
--       5 number of the requests that follow: those of this part that were shown before
-- Answers the time, leases, and the cursor of the next part, 0 after the last; or nothing while this
-- part has more leases.

local STEP = 100

begin()
open(SHARED_KEYS, ARGV[2])
local shown, requests, leases, bytes, to = {}, {}, {}, 0, '0'
for at = 6, 5 + ARGV[5] do
  shown[ARGV[at]] = true
end
if many then
  local part = call('ZSCAN', ENDS, ARGV[3], 'COUNT', STEP)
  to = part[1]
  for at = 1, #part[2], 2 do
    if tonumber(part[2][at + 1]) > over then
      requests[#requests + 1] = part[2][at]
    end
  end
elseif alone then
  requests[1] = alone.request
end
for _, request in ipairs(requests) do
  if not shown[request] then
    if #leases == tonumber(ARGV[4]) or bytes >= PAGE_BYTES then
      to = ''
      break
    end
    leases[#leases + 1] = many and (call('HGET', DETAILS, 'h' .. request)
      or error('a lease has no record')) or write_lease(alone)
    bytes = bytes + #leases[#leases]
  end
end
close()
return { now, leases, to }
