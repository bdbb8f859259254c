-- Asks the holders to release the key.
--
-- ARGV  3 how soon in ms, length of the asker as a word, asker, reason
--       4 the highest token of the leases that are meant, 0 is any
-- Answers the time, the holders without their metadata, and 1 when there are more or 0.

local asked, up_to, holding, more = ARGV[3], tonumber(ARGV[4]), {}, 0

local function ask(lease)
  if up_to > 0 and lease.token > up_to then
    return
  end
  tell(lease.mailbox, 'w' .. lease.request .. struct.pack(ENDED_FORMAT, lease.token, #asked)
    .. asked .. KEY)
  holding[#holding + 1] = lease.request
    .. struct.pack(TERM_FORMAT, lease.token, lease.granted, lease.ends)
    .. without_metadata(lease.terms)
end

begin()
open(SHARED_KEYS, ARGV[2])
if many then
  local requests = call('ZRANGEBYSCORE', ENDS, after_over(), '+inf', 'LIMIT', 0, EVICT_LIMIT)
  more = holders() > #requests and 1 or 0
  for _, request in ipairs(requests) do
    ask(lease_of(request))
  end
elseif alone and alone.ends > over then
  ask(alone)
end
close()
return { now, holding, more }
