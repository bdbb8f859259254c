-- Shows the leases of a key that are alive, in the order of their requests.
--
-- ARGV  3 the request after which to begin, or nothing  4 maximum number of leases
-- Answers the time and the leases.

begin()
open(3, ARGV[2])
-- Strings are compared byte by byte here, which Lua's own order does not do in every locale.
local function comes_before(one, other)
  for at = 1, 16 do
    local a, b = string.byte(one, at) or -1, string.byte(other, at) or -1
    if a ~= b then
      return a < b
    end
  end
  return false
end

local requests = { alone and alone.request }
if many then
  requests = call('ZRANGEBYSCORE', ENDS, after_now(), '+inf')
end
table.sort(requests, comes_before)
local leases = {}
for _, request in ipairs(requests) do
  if comes_before(ARGV[3], request) and #leases < tonumber(ARGV[4]) then
    leases[#leases + 1] = write_lease(lease_of(request))
  end
end
close()
return { now, leases }
