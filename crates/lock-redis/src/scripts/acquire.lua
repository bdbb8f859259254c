-- Asks for a key.
--
-- ARGV  3 request  4 terms  5 mode  6 owner  7 ttl in us  8 head start in ms
--       9 keep-alive in ms, 0 is do not queue  10 the longest queue to join, 0 is any  11 process
-- Answers granted, time, lease; or joined, queued, held or full, time, position, waiting, holders
-- and the lease that is the first to end.

local request, terms, mode, owner = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local head_start, keep_alive, queue_limit = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])

local function place(outcome, position)
  local first = first_lease()
  local waiting = queued and call('ZCARD', QUEUE) or 0
  return { outcome, now, position, waiting, holders(), first and write_lease(first) or '' }
end

local function acquire()
  local lease = lease_of(request)
  if lease then
    if lease.unclaimed then
      local _, ttl = read_terms(lease.terms)
      lease.unclaimed = false
      lease.ends = end_after(ttl)
      put(lease)
    end
    return { 'granted', now, write_lease(lease) }
  end

  local waits, arrived_before
  if queued then
    waits, arrived_before = unpack(call('HMGET', DETAILS, 'w' .. request, 'a'))
  end
  if waits then
    local waiter = read_waiter(waits)
    local silent = now + waiter.keep * 1000
    heard = math.min(heard, silent)
    call('ZADD', SILENCE, silent, request)
    if waiter.process ~= ARGV[11] then
      call('HSET', DETAILS, 'w' .. request, sub(waiter.text, 1, 26) .. ARGV[11] .. waiter.terms)
    end
    return place('queued', call('ZRANK', QUEUE, member(waiter, request)) + 1)
  end

  local arrivals, arrived, position = 0, now, 1
  if queued then
    local last
    arrivals, last = struct.unpack('>I6d', arrived_before)
    arrived = math.max(now, last)
    position = call('ZCOUNT', QUEUE, '-inf', arrived - head_start * 1000) + 1
  end
  if position == 1 and fits(mode) then
    local new = { request = request, token = next_token(), granted = now,
      ends = end_after(tonumber(ARGV[7])), terms = terms }
    record('granted', write_lease(new))
    put(new)
    return { 'granted', now, write_lease(new) }
  end

  if keep_alive == 0 then
    return place('held', position)
  end
  if queue_limit > 0 and queued and call('ZCARD', QUEUE) >= queue_limit then
    return place('full', position)
  end
  arrivals = arrivals + 1
  local silent = now + keep_alive * 1000
  local text = struct.pack('>dI6I6I6', arrived, arrivals, keep_alive, head_start) .. ARGV[11] .. terms
  heard = queued and math.min(heard, silent) or silent
  queued = true
  call('HSET', DETAILS, 'w' .. request, text, 'a', struct.pack('>I6d', arrivals, arrived))
  call('ZADD', QUEUE, arrived - head_start * 1000, struct.pack('>I6', arrivals) .. request)
  call('ZADD', SILENCE, silent, request)
  call('ZADD', WAITS, 0, owner .. '\0' .. KEY .. '\0' .. request)
  record('queued', show_waiter(request, silent, text))
  return place('joined', position)
end

open(3, ARGV[2])
local answer = acquire()
close()
return answer
