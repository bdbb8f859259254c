-- Shows the leases of a key and a page of its waiters.
--
-- ARGV  3 maximum number of leases and of waiters; of leases of much metadata fewer are shown
--       4 rank and 5 arrival and request of the last waiter of the page before, or nothing
-- Answers the time, the number of holders, leases, the number of waiters, waiters, and where the
-- next page begins: rank, arrival and request, or nothing when this is the last.

-- A page is short rather than long: its work is counted in waiters that are shown, of about 10 us
-- each. However little is left of it, some waiters are looked at, so that every page leads on.
local WORK, LEAST = 250, 16
local OF_SETTLED, OF_LEASE, OF_LOOK = 2, 0.2, 0.25

begin()
open(SHARED_KEYS, ARGV[2])
local most = tonumber(ARGV[3])
local leases, waiters, bytes = {}, {}, 0
if many then
  local alive = call('ZRANGEBYSCORE', ENDS, after_over(), '+inf', 'LIMIT', 0, most)
  for at, request in ipairs(alive) do
    leases[at] = call('HGET', DETAILS, 'h' .. request) or error('a lease has no record')
    bytes = bytes + #leases[at]
    if bytes >= PAGE_BYTES then
      break
    end
  end
elseif alone then
  leases[1] = write_lease(alone)
end

local from = 0
if queued and ARGV[5] ~= '' then
  -- A waiter that has left is put in for the moment, to find where it would stand.
  local is_gone = call('ZADD', QUEUE, 'NX', ARGV[4], ARGV[5])
  from = call('ZRANK', QUEUE, ARGV[5]) + 1 - is_gone
  if is_gone == 1 then
    call('ZREM', QUEUE, ARGV[5])
  end
end
local settled = 3 * SWEEP_LIMIT - waiters_left - marks_left - grants_left
local dropped = LEASE_LIMIT - leases_left
local work = WORK - OF_SETTLED * settled - OF_LEASE * (#leases + dropped)
bytes = 0
local last_rank, last, looked_at, is_more = '', '', 0, false
while queued and not is_more do
  local members = call('ZRANGE', QUEUE, from, from + 99, 'WITHSCORES')
  if #members == 0 then
    break
  end
  for at = 1, #members, 2 do
    local request = sub(members[at], TURN_REQUEST)
    local silent = silent_at(request)
    if work <= 0 and looked_at >= LEAST or bytes >= PAGE_BYTES
        or silent > now and #waiters == most then
      is_more = true
      break
    end
    looked_at, work = looked_at + 1, work - OF_LOOK
    last, last_rank = members[at], string.format('%.0f', members[at + 1])
    if silent > now then
      local shown = show_waiter(request, silent, waiter_of(request))
      waiters[#waiters + 1] = shown
      bytes = bytes + #shown
      work = work - 1
    end
  end
  from = from + 100
end
close()
return { now, holders(), leases, queued and call('ZCARD', QUEUE) or 0, waiters,
  is_more and last_rank or '', is_more and last or '' }
