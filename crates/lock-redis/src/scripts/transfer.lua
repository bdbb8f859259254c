-- Hands a lease over.
--
-- ARGV  3 request and 4 token of the giver  5 request of the receiver  6 waiter or owner
--       7 owner and 8 metadata of a receiver that does not wait  9 the ending up to the receiver
-- Answers the time, then transferred and the lease, ended and how, not held, not waiting or
-- already holds.

local from, token, to, owner = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[7]

local function transfer()
  local held, waiter = settle_for(to)
  local given = named(from, token)
  local given_by = struct.pack(GIVER_FORMAT, from, token)
  if not given then
    if held and held.given_by == given_by then
      return { 'transferred', write_lease(held) }
    end
    local ending = end_of(from, token)
    return ending and { 'ended', ending } or { 'not held' }
  end
  if held then
    return { 'already holds' }
  end
  local mode, ttl = read_terms(given.terms)
  local lease
  if waiter then
    local its_mode, _, its_owner = read_terms(waiter.terms)
    if its_mode ~= mode or ARGV[6] == 'owner' and its_owner ~= owner then
      return { 'not waiting' }
    end
    owner = its_owner
    local new = next_token()
    if not new then
      return nil
    end
    lease = granted(to, waiter, new)
    leave(to, waiter, waits_alone())
  elseif ARGV[6] == 'owner' and not end_of(to) then
    local new = next_token()
    if not new then
      return nil
    end
    lease = { request = to, token = new, granted = now, ends = end_after(ttl),
      mailbox = NOWHERE, terms = string.match(given.terms, '^%S+ %d+ ') .. #owner .. ' ' .. owner
        .. ARGV[8] }
  else
    return { 'not waiting' }
  end
  lease.given_by = given_by
  remove(from)
  tell_grant(lease)
  put(lease)
  local ending = ARGV[9] .. owner
  tell_end(given.mailbox, from, token, ending)
  mark(from, token, ending, given.ends)
  record('transferred', write_lease(given), write_lease(lease))
  return { 'transferred', write_lease(lease) }
end

begin()
open(SHARED_KEYS, ARGV[2])
local answer = transfer()
close()
if not answer then
  return no_token()
end
table.insert(answer, 1, now)
return answer
