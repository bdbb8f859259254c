-- Makes leases last their ttl from now.
--
-- KEYS  of as many locks as there are
-- ARGV  2 nothing, then for each lock its key, its request and the ttl in ms
-- Answers for each its lease, or nothing when the request does not hold.

local answers = {}
for lock = 0, (#KEYS - 3) / 5 - 1 do
  local at = 3 + lock * 3
  open(3 + lock * 5, ARGV[at])
  local lease = lease_of(ARGV[at + 1])
  if lease then
    local mode, _, owner, metadata = read_terms(lease.terms)
    lease.unclaimed = false
    lease.ends = end_after(ARGV[at + 2] * 1000)
    lease.terms = mode .. ' ' .. ARGV[at + 2] .. ' ' .. #owner .. ' ' .. owner
      .. sub(lease.terms, metadata)
    put(lease)
  end
  answers[lock + 1] = lease and write_lease(lease) or false
  close()
end
return answers
