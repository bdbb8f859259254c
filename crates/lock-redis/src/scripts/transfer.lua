-- Hands a lease over.
--
-- ARGV  3 request of the giver  4 request of the receiver  5 waiter or owner
--       6 owner and 7 metadata of a receiver that does not wait
-- Answers transferred and the lease; or not held, not waiting, already holds.

local from, to, owner = ARGV[3], ARGV[4], ARGV[6]

local function transfer()
  local given = lease_of(from)
  local held = lease_of(to)
  if not given then
    if held and held.given_by == from then
      return { 'transferred', write_lease(held) }
    end
    return { 'not held' }
  end
  if held then
    return { 'already holds' }
  end
  local mode, ttl = read_terms(given.terms)
  local queueing = waiter_of(to)
  local waiter = queueing and silent_at(to) > now and queueing
  local lease
  if waiter then
    local asked_mode, _, asked_owner = read_terms(waiter.terms)
    if asked_mode ~= mode or ARGV[5] == 'owner' and asked_owner ~= owner then
      return { 'not waiting' }
    end
    lease = granted(to, waiter)
  elseif ARGV[5] == 'owner' then
    lease = { request = to, token = next_token(), granted = now, ends = end_after(ttl),
      terms = mode .. ' ' .. string.match(given.terms, '^%S+ (%d+)') .. ' ' .. #owner .. ' '
        .. owner .. ARGV[7] }
  else
    return { 'not waiting' }
  end
  lease.given_by = from
  if queueing then
    leave(to, queueing, waits_alone())
  end
  remove(from)
  put(lease)
  if waiter then
    tell(waiter, lease)
  end
  record('transferred', write_lease(given), write_lease(lease))
  return { 'transferred', write_lease(lease) }
end

open(3, ARGV[2])
local answer = transfer()
close()
return answer
