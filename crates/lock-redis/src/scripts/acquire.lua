-- Asks for a key.
--
-- ARGV  3 request  4 terms  5 mode  6 mailbox  7 ttl in us  8 head start in ms
--       9 keep-alive in ms, 0 is do not queue  10 the longest queue to join, 0 is any
-- Answers the time, then granted and the lease, or free and the lease when there was nothing before;
-- queued, held, full or deadlock and the place; ended and how; or not held.

local request, terms, mode, mailbox = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local head_start, keep_alive, queue_limit = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])

local function acquire()
  local lease, waiter = settle_for(request)
  if lease then
    claim(lease, mailbox)
    return { 'granted', write_lease(lease) }
  end
  if waiter then
    return place('queued', keep_waiting(request, waiter, mailbox))
  end
  local ending = end_of(request)
  if ending then
    return { 'ended', ending }
  end
  local upgrades, its_token = upgraded(mode)
  if upgrades and not named(upgrades, its_token) then
    ending = end_of(upgrades, its_token)
    return ending and { 'ended', ending } or { 'not held' }
  end

  local arrivals, arrived, position = 0, now, 1
  if queued then
    local last
    arrivals, last = struct.unpack(ARRIVALS_FORMAT, call('HGET', DETAILS, 'a'))
    arrived = math.max(now, last)
    position = call('ZCOUNT', QUEUE, '-inf', rank(arrived, head_start, mode)) + 1
  end
  if upgrades and queued then
    local head = sub(call('ZRANGE', QUEUE, 0, 0)[1], TURN_REQUEST)
    if upgraded(mode_of(waiter_of(head).terms)) then
      return place('deadlock', position)
    end
  end
  if position == 1 and fits(mode) then
    local token = next_token()
    if not token then
      return nil
    end
    end_upgraded(mode)
    local new = { request = request, token = token, granted = now,
      ends = end_after(tonumber(ARGV[7])), mailbox = mailbox, terms = lease_terms(terms) }
    record('granted', write_lease(new))
    put(new)
    return { before and 'granted' or 'free', write_lease(new) }
  end

  if keep_alive == 0 then
    return place('held', position)
  end
  if queue_limit > 0 and queued and call('ZCARD', QUEUE) >= queue_limit then
    return place('full', position)
  end
  arrivals = arrivals + 1
  local silent = now + keep_alive * 1000
  local text = struct.pack(WAITER_FORMAT, arrived, arrivals, keep_alive, head_start, mailbox)
    .. terms
  local was_queued = queued
  heard = queued and math.min(heard, silent) or silent
  queued = true
  local fields = call('HSET', DETAILS, 'w' .. request, text,
    'a', struct.pack(ARRIVALS_FORMAT, arrivals, arrived))
  if not was_queued and fields < 2 then
    error('a queue is left that the state does not tell')
  end
  call('ZADD', QUEUE, rank(arrived, head_start, mode), struct.pack(TURN_FORMAT, arrivals) .. request)
  call('ZADD', SILENCE, silent, request)
  local of_owner, of_session = wait_entries(terms, request)
  call('ZADD', WAITS, 0, of_owner, 0, of_session)
  record('queued', show_waiter(request, silent, read_waiter(text)))
  return place('queued', position)
end

begin()
open(SHARED_KEYS, ARGV[2])
local answer = acquire()
close()
if not answer then
  return no_token()
end
table.insert(answer, 1, now)
return answer
