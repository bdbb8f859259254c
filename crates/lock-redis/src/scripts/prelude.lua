-- The state machine of lock-core over the structures of Redis: what all commands share.
--
-- KEYS  1 token    string: the last token of the shard
--       2 waits    zset, all scores 0: owner \0 key \0 request of everybody who waits in the shard
--       3 journal  stream of events; the ids are times in us and how many events of the lock came
--                  before at that time, so that no id comes again after the stream was flushed
--       and of each lock
--       4 state    string: a letter for what there is; where there is a queue, a time (double)
--                  before which nobody in it is silent; then the lease that is alone, or the mode
--                  of several
--                    1 one lease   q one lease and a queue   n a queue
--                    m several leases   w several leases and a queue
--       5 details  hash: 'h' .. request -> lease, of several; 'w' .. request -> waiter;
--                    'a' -> how many arrivals there were, and when the last was
--       6 queue    zset: arrival .. request by rank
--       7 silence  zset: request by the time at which it is silent
--       8 ends     zset: request by the end of its lease, of several
-- ARGV  1 entries that the journal keeps, 0 is no journal   2 the key
--
-- lease   request (16 bytes), token, time of the grant and end (doubles), flag, terms; the flag is
--         0, plus 1 while unclaimed, plus 2 when the giver's request (16 bytes) follows
-- waiter  time of the arrival (double), arrival, keep-alive in ms and head start in ms (6 bytes
--         each), process (8 bytes), terms
-- terms   mode, ttl in ms and length of the owner as words, owner, metadata; the mode is x for
--         exclusive, r for shared, or the limit of a semaphore; a ttl of 0 is never
--
-- Numbers are doubles, exact up to 2^53; requests are never numbers.

-- Here and in the commands, `call`, `sub`, `now`, KEYS and ARGV are there already; nothing else
-- outlives a command, and `open` sets all that follows anew.

local NEVER = 9007199254740992
local SWEEP = 64
local TOKEN, WAITS, JOURNAL, KEY, STATE, DETAILS, QUEUE, SILENCE, ENDS
local before, alone, many, queued, heard, recorded

local function read_lease(text)
  local token, granted, ends, flag, at = struct.unpack('>dddc1', text, 17)
  local lease = { request = sub(text, 1, 16), token = token, granted = granted, ends = ends }
  lease.unclaimed = flag == '1' or flag == '3'
  if flag == '2' or flag == '3' then
    lease.given_by = sub(text, at, at + 15)
    at = at + 16
  end
  lease.terms = sub(text, at)
  return lease
end

local function write_lease(lease)
  local flag = (lease.unclaimed and 1 or 0) + (lease.given_by and 2 or 0)
  return lease.request .. struct.pack('>ddd', lease.token, lease.granted, lease.ends)
    .. flag .. (lease.given_by or '') .. lease.terms
end

local function read_waiter(text)
  local enqueued, arrival, keep, head, at = struct.unpack('>dI6I6I6', text)
  return { enqueued = enqueued, arrival = arrival, keep = keep, head = head, text = text,
    process = sub(text, at, at + 7), terms = sub(text, at + 8) }
end

local function mode_of(terms)
  return string.match(terms, '^%S+')
end

-- The mode, the ttl in us (0 is never), the owner and where the metadata begins.
local function read_terms(terms)
  local mode, ttl, length, at = string.match(terms, '^(%S+) (%d+) (%d+) ()')
  return mode, ttl * 1000, sub(terms, at, at + length - 1), at + length
end

local function end_after(ttl)
  return ttl == 0 and NEVER or now + ttl
end

local function record(event, first, second, third)
  if ARGV[1] == '0' then
    return
  end
  local function add(do_call, id)
    return do_call('XADD', JOURNAL, 'MAXLEN', '~', ARGV[1], id, 'event', event, 'at', now,
      'key', KEY, 'first', first, 'second', second or '', 'third', third or '')
  end
  local added = add(redis.pcall, string.format('%.0f-%d', now, recorded))
  recorded = recorded + 1
  if type(added) == 'table' then
    -- The clock stands or jumped back, or the command is about several locks.
    add(call, '*')
  end
end

local function next_token()
  local last = call('GETSET', TOKEN, now)
  if not last or last - now < 0 then
    return now
  end
  call('SET', TOKEN, last + 1)
  return last + 1
end

-- The leases.

local function lease_of(request)
  if many then
    local text = call('HGET', DETAILS, 'h' .. request)
    return text and read_lease(text)
  end
  return alone and alone.request == request and alone
end

local function holders()
  if many then
    return call('ZCARD', ENDS)
  end
  return alone and 1 or 0
end

-- Of all leases the first to end.
local function first_lease()
  if many then
    return lease_of(call('ZRANGE', ENDS, 0, 0)[1])
  end
  return alone
end

local function put_with_others(lease)
  call('HSET', DETAILS, 'h' .. lease.request, write_lease(lease))
  call('ZADD', ENDS, lease.ends, lease.request)
end

local function put(lease)
  if alone and alone.request ~= lease.request then
    many = mode_of(alone.terms)
    put_with_others(alone)
    alone = nil
  end
  if many then
    put_with_others(lease)
  else
    alone = lease
  end
end

local function remove(request)
  if many then
    call('HDEL', DETAILS, 'h' .. request)
    call('ZREM', ENDS, request)
    if call('ZCARD', ENDS) == 0 then
      many = nil
    end
  else
    alone = nil
  end
end

local function fits(mode)
  local held = many or alone and mode_of(alone.terms)
  if not held then
    return true
  end
  return held == mode and mode ~= 'x' and (mode == 'r' or holders() < tonumber(mode))
end

-- The queue.

local function waiter_of(request)
  local text = queued and call('HGET', DETAILS, 'w' .. request)
  return text and read_waiter(text)
end

local function member(waiter, request)
  return struct.pack('>I6', waiter.arrival) .. request
end

local function silent_at(request)
  return tonumber(call('ZSCORE', SILENCE, request))
end

-- What others are told of a waiter.
local function show_waiter(request, silent, text)
  return request .. struct.pack('>d', silent) .. text
end

local function wait_entry(waiter, request)
  local _, _, owner = read_terms(waiter.terms)
  return owner .. '\0' .. KEY .. '\0' .. request
end

-- Takes a waiter out; a queue exists only while somebody waits.
local function leave(request, waiter, is_last)
  call('HDEL', DETAILS, 'w' .. request)
  call('ZREM', QUEUE, member(waiter, request))
  call('ZREM', SILENCE, request)
  call('ZREM', WAITS, wait_entry(waiter, request))
  if is_last then
    call('HDEL', DETAILS, 'a')
    queued = false
  end
end

local function waits_alone()
  return call('ZCARD', QUEUE) == 1
end

-- The lease that a waiter is handed, which lasts the claim window.
local function granted(request, waiter)
  local _, ttl = read_terms(waiter.terms)
  local window = waiter.keep * 1000
  if ttl > 0 and ttl < window then
    window = ttl
  end
  return { request = request, token = next_token(), granted = now, ends = now + window,
    unclaimed = true, terms = waiter.terms }
end

-- Tells the process that waits, by a message on its channel, which is named like the token's key:
-- only what it cannot know itself.
local function tell(waiter, lease)
  local channel = sub(TOKEN, 1, -6) .. 'process:' .. waiter.process
  call('PUBLISH', channel, lease.request
    .. struct.pack('>ddd', lease.token, lease.granted, lease.ends) .. KEY)
end

local function expire()
  if alone and alone.ends <= now then
    record('expired', write_lease(alone))
    alone = nil
  end
  while many do
    local over = call('ZRANGEBYSCORE', ENDS, '-inf', now, 'LIMIT', 0, 100)
    if #over == 0 then
      return
    end
    for _, request in ipairs(over) do
      record('expired', call('HGET', DETAILS, 'h' .. request))
      remove(request)
    end
  end
end

local function drop_silent()
  for _ = 1, SWEEP do
    if not queued or heard > now then
      return
    end
    local longest = call('ZRANGE', SILENCE, 0, 0, 'WITHSCORES')
    heard = tonumber(longest[2])
    if heard > now then
      return
    end
    local request, silent = longest[1], heard
    local head = sub(call('ZRANGE', QUEUE, 0, 0)[1], 7)
    local head_silent = silent_at(head)
    if head_silent <= now then
      request, silent = head, head_silent
    end
    local waiter = waiter_of(request)
    leave(request, waiter, waits_alone())
    record('lapsed', show_waiter(request, silent, waiter.text))
  end
end

-- Grants the key to the head of the queue, as long as there is one that is alive and fits.
local function promote()
  while queued and not (alone and sub(alone.terms, 1, 1) == 'x') do
    local first = call('ZRANGE', QUEUE, 0, 1)
    local request = sub(first[1], 7)
    if heard <= now and silent_at(request) <= now then
      return
    end
    local waiter = waiter_of(request)
    if not fits(mode_of(waiter.terms)) then
      return
    end
    leave(request, waiter, not first[2])
    local lease = granted(request, waiter)
    record('granted', write_lease(lease))
    tell(waiter, lease)
    put(lease)
  end
end

-- Reads what there is of the lock whose keys follow the first so many, and settles it.
local function open(keys, key)
  TOKEN, WAITS, JOURNAL, KEY = KEYS[1], KEYS[2], KEYS[3], key
  STATE, DETAILS, QUEUE, SILENCE, ENDS = unpack(KEYS, keys + 1, keys + 5)
  before = call('GET', STATE)
  local kind = before and sub(before, 1, 1)
  queued = kind == 'q' or kind == 'n' or kind == 'w'
  heard = queued and struct.unpack('>d', before, 2)
  local rest = before and sub(before, queued and 10 or 2)
  alone = (kind == '1' or kind == 'q') and read_lease(rest) or nil
  many = (kind == 'm' or kind == 'w') and rest or nil
  recorded = 0
  expire()
  drop_silent()
  promote()
end

-- Writes what changed.
local function close()
  local after
  local horizon = queued and struct.pack('>d', heard)
  if alone then
    after = (queued and 'q' .. horizon or '1') .. write_lease(alone)
  elseif many then
    after = (queued and 'w' .. horizon or 'm') .. many
  elseif queued then
    after = 'n' .. horizon
  end
  if after and after ~= before then
    call('SET', STATE, after)
  elseif before and not after then
    call('DEL', STATE)
  end
end

-- The commands that several share.

local function release(request)
  local lease = lease_of(request)
  if not lease then
    return false
  end
  record('released', write_lease(lease))
  remove(request)
  promote()
  return true
end
