-- The waiters of a lock, in the order in which they are granted.

local function waiter_of(request)
  local text = queued and call('HGET', DETAILS, 'w' .. request)
  return text and read_waiter(text)
end

-- Where a request ranks: an upgrade before every other.
local function rank(arrived, head_start, mode)
  return arrived - (upgraded(mode) and UPGRADE_LEAD or head_start * 1000)
end

local function member(waiter, request)
  return struct.pack(TURN_FORMAT, waiter.arrival) .. request
end

local function silent_at(request)
  return tonumber(call('ZSCORE', SILENCE, request))
end

-- A waiter as others are told of it.
local function show_waiter(request, silent, waiter)
  return request .. struct.pack('>d', silent) .. sub(waiter.text, 1, WAITER_TERMS - 1)
    .. without_metadata(waiter.terms)
end

-- The entries of a waiter in the index of the shard.
local function wait_entries(terms, request)
  local _, _, owner, _, session = read_terms(terms)
  local of_key = KEY .. '\0' .. request
  return 'o' .. owner .. '\0' .. of_key, 's' .. (session or request) .. of_key
end

-- Takes a waiter out; a queue exists only while somebody waits.
local function leave(request, waiter, is_last)
  call('HDEL', DETAILS, 'w' .. request)
  call('ZREM', QUEUE, member(waiter, request))
  call('ZREM', SILENCE, request)
  call('ZREM', WAITS, wait_entries(waiter.terms, request))
  if is_last then
    call('HDEL', DETAILS, 'a')
    queued = false
  end
end

local function waits_alone()
  return call('ZCARD', QUEUE) == 1
end

-- Keeps a waiter alive for another keep-alive, moves it to a mailbox, and answers its position.
local function keep_waiting(request, waiter, mailbox)
  local silent = now + waiter.keep * 1000
  heard = math.min(heard, silent)
  call('ZADD', SILENCE, silent, request)
  if mailbox ~= NOWHERE and mailbox ~= waiter.mailbox then
    call('HSET', DETAILS, 'w' .. request, sub(waiter.text, 1, WAITER_MAILBOX - 1) .. mailbox .. waiter.terms)
  end
  return call('ZRANK', QUEUE, member(waiter, request)) + 1
end

-- The next instant at which time alone can lead to a grant; NEVER is none.
local function next_change(position, first)
  local change = first and first.ends or NEVER
  if not queued then
    return change
  end
  local head = sub(call('ZRANGE', QUEUE, 0, 0)[1], TURN_REQUEST)
  local silent = silent_at(head)
  -- While grants are left, a living head that fits was granted.
  if silent <= now or grants_left <= 0 and fits(mode_of(waiter_of(head).terms)) then
    return now
  end
  return position > 1 and math.min(change, silent) or change
end

-- Position, number of waiters, number of holders, of the holders the first to end, next change.
local function place(outcome, position)
  local first = first_lease()
  local waiting = queued and call('ZCARD', QUEUE) or 0
  local holder = first and first.request
    .. struct.pack(TERM_FORMAT, first.token, first.granted, first.ends)
    .. without_metadata(first.terms)
  return { outcome, position, waiting, holders(), holder or '', next_change(position, first) }
end

-- The lease that a waiter is handed, which lasts the claim window.
local function granted(request, waiter, token)
  local _, ttl = read_terms(waiter.terms)
  local window = waiter.keep * 1000
  if ttl > 0 and ttl < window then
    window = ttl
  end
  return { request = request, token = token, granted = now, ends = now + window,
    unclaimed = true, mailbox = waiter.mailbox, terms = lease_terms(waiter.terms) }
end
