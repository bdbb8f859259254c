-- The state machine of lock-core over the structures of Redis: the part that all commands share,
-- continued in the folder of this name.
--
-- KEYS  1 token    string: the last token of the shard
--       2 waits    zset, all scores 0: for each waiter of the shard o owner \0 key \0 request and
--                  s session key \0 request
--       3 journal  stream of events; the ids are times in us and the number of events of the
--                  command before, so that no id comes again after the stream was flushed
--       and of each lock
--       4 state    string: k when there are marks; then a letter for the rest; where there is a
--                  queue, a time (double) before which nobody in it is silent; then the lease that
--                  is alone
--                    1 one lease   q one lease and a queue   n a queue
--                    m several leases   w several leases and a queue   nothing else: marks only
--                  a state of marks only expires with them
--       5 details  hash: 'h' .. request -> lease, of several; 'w' .. request -> waiter;
--                    'a' -> the number of arrivals, and the time of the last
--       6 queue    zset: arrival .. request by rank
--       7 silence  zset: request by the time at which it is silent
--       8 ends     zset: request by the end of its lease, of several
--       9 marks    hash: request -> mark   10 fading  zset: request by the end of its mark
--                  both expire after the last of them
-- ARGV  1 number of entries that the journal keeps, 0 is no journal   2 the key
--
-- lease   request (16 bytes), token, time of the grant and end (doubles), flag, mailbox (16 bytes),
--         terms; the flag is 0, plus 1 while unclaimed, plus 2 when the giver's request (16 bytes)
--         and token (double) precede the terms
-- waiter  time of the arrival (double), arrival, keep-alive in ms and head start in ms (6 bytes
--         each), mailbox (16 bytes), terms
-- terms   mode, ttl in ms and length of the owner as words, owner, metadata; the mode is x for
--         exclusive, r for shared, or the limit of a semaphore; a ttl of 0 is never; the length
--         ends with + instead of a space when a session (16 bytes) other than the request follows
-- mark    the token of the lease (double, 0 is none), ending
-- ending  e, length of the operator as a word, operator, reason; or t, length of the giver as a
--         word, giver, receiver; or c for a cancel
--
-- A mailbox of zeros is none. Numbers are doubles, exact up to 2^53; requests are never numbers.
-- Every answer begins with the time.

-- Here and in the commands, `call`, `sub`, `now`, KEYS and ARGV are there already; nothing else
-- outlives a command: `begin` and `open` set all that follows anew. While a library is loaded, no
-- function of Lua is there to be called.

local NEVER = 9007199254740992
local SWEEP_LIMIT, EVICT_LIMIT = 64, 64
local MARK_SPAN, MARK_MAX_SPAN, MARK_LIMIT = 300000000, 3600000000, 1024
local LOCK_KEYS = 7
local NOWHERE = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
local TOKEN, WAITS, JOURNAL, KEY, STATE, DETAILS, QUEUE, SILENCE, ENDS, MARKS, FADING
local before, alone, many, held_mode, queued, heard, marked, marked_anew
local recorded, leases_left, waiters_left, marks_left, grants_left

local function read_lease(text)
  local token, granted, ends, flag, mailbox, at = struct.unpack('>dddc1c16', text, 17)
  local lease = { request = sub(text, 1, 16), token = token, granted = granted, ends = ends,
    mailbox = mailbox }
  lease.unclaimed = flag == '1' or flag == '3'
  if flag == '2' or flag == '3' then
    lease.given_by = sub(text, at, at + 23)
    at = at + 24
  elseif flag ~= '0' and flag ~= '1' then
    error('a lease has an unknown flag')
  end
  lease.terms = sub(text, at)
  return lease
end

local function write_lease(lease)
  local flag = (lease.unclaimed and 1 or 0) + (lease.given_by and 2 or 0)
  return lease.request .. struct.pack('>ddd', lease.token, lease.granted, lease.ends)
    .. flag .. lease.mailbox .. (lease.given_by or '') .. lease.terms
end

local function read_waiter(text)
  local enqueued, arrival, keep, head, mailbox, at = struct.unpack('>dI6I6I6c16', text)
  return { enqueued = enqueued, arrival = arrival, keep = keep, head = head, mailbox = mailbox,
    text = text, terms = sub(text, at) }
end

local function mode_of(terms)
  return string.match(terms, '^%S+')
end

-- The mode, the ttl in us (0 is never), the owner, where the metadata begins, and the session if it
-- is other than the request.
local function read_terms(terms)
  local mode, ttl, length, separator, at = string.match(terms, '^(%S+) (%d+) (%d+)([ +])()')
  local session
  if separator == '+' then
    session = sub(terms, at, at + 15)
    at = at + 16
  end
  return mode, ttl * 1000, sub(terms, at, at + length - 1), at + length, session
end

local function without_metadata(terms)
  local _, _, _, metadata = read_terms(terms)
  return sub(terms, 1, metadata - 1)
end

local function end_after(ttl)
  return ttl == 0 and NEVER or now + ttl
end

-- What lies behind the present: the lower bound of a range of scores.
local function after_now()
  return string.format('(%.0f', now)
end

local function record(event, first, second)
  if ARGV[1] == '0' then
    return
  end
  local function add(do_call, id)
    return do_call('XADD', JOURNAL, 'MAXLEN', '~', ARGV[1], id, 'event', event, 'at', now,
      'key', KEY, 'first', first, 'second', second or '')
  end
  local added = add(redis.pcall, string.format('%.0f-%d', now, recorded))
  recorded = recorded + 1
  if type(added) == 'table' then
    -- The clock stands or jumped back.
    add(call, '*')
  end
end

-- Tells a mailbox, by a message on its channel, which is named like the token's key.
local function tell(mailbox, message)
  if mailbox ~= NOWHERE then
    call('PUBLISH', sub(TOKEN, 1, -6) .. 'mailbox:' .. mailbox, message)
  end
end

local function tell_grant(lease)
  tell(lease.mailbox, 'g' .. lease.request
    .. struct.pack('>ddd', lease.token, lease.granted, lease.ends) .. KEY)
end

local function tell_end(mailbox, request, token, ending)
  tell(mailbox, 'e' .. request .. struct.pack('>dI4', token, #ending) .. ending .. KEY)
end

local function next_token()
  local last = call('GETSET', TOKEN, now)
  if not last or last - now < 0 then
    return now
  end
  call('SET', TOKEN, last + 1)
  return last + 1
end
<<<<<<< HEAD

-- The leases.

-- The lease of a request, alive or over.
local function lease_of(request)
  if many then
    local text = call('HGET', DETAILS, 'h' .. request)
    return text and read_lease(text)
  end
  return alone and alone.request == request and alone
end

-- The lease of this name, if it is alive.
local function named(request, token)
  local lease = lease_of(request)
  return lease and lease.ends > now and lease.token == token and lease
end

-- The number of leases that are alive.
local function holders()
  if many then
    return call('ZCOUNT', ENDS, after_now(), '+inf')
  end
  return alone and alone.ends > now and 1 or 0
end

-- Of the leases that are alive the first to end.
local function first_lease()
  if many then
    local first = call('ZRANGEBYSCORE', ENDS, after_now(), '+inf', 'LIMIT', 0, 1)[1]
    return first and (lease_of(first) or error('a lease has no record'))
  end
  return alone and alone.ends > now and alone
end

local function put_with_others(lease)
  call('HSET', DETAILS, 'h' .. lease.request, write_lease(lease))
  call('ZADD', ENDS, lease.ends, lease.request)
end

local function put(lease)
  if alone and alone.request ~= lease.request then
    many = true
    put_with_others(alone)
    alone = nil
  end
  if many then
    put_with_others(lease)
  else
    alone = lease
  end
  held_mode = held_mode or nil
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
  held_mode = nil
end

-- Whether a lease of this mode could be alive beside those that are.
local function fits(mode)
  if held_mode == nil then
    local first = first_lease()
    held_mode = first and mode_of(first.terms) or false
  end
  if not held_mode then
    return true
  end
  return held_mode == mode and mode ~= 'x' and (mode == 'r' or holders() < tonumber(mode))
end

-- Makes a lease in its claim window full length, and moves it to a mailbox.
local function claim(lease, mailbox)
  local moves = mailbox ~= NOWHERE and mailbox ~= lease.mailbox
  if moves then
    lease.mailbox = mailbox
  end
  if lease.unclaimed then
    local _, ttl = read_terms(lease.terms)
    lease.unclaimed = false
    lease.ends = end_after(ttl)
  elseif not moves then
    return
  end
  put(lease)
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

-- A waiter as others are told of it.
local function show_waiter(request, silent, waiter)
  return request .. struct.pack('>d', silent) .. sub(waiter.text, 1, 42)
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
    call('HSET', DETAILS, 'w' .. request, sub(waiter.text, 1, 26) .. mailbox .. waiter.terms)
  end
  return call('ZRANK', QUEUE, member(waiter, request)) + 1
end

-- The next instant at which time alone can lead to a grant; NEVER is none.
local function next_change(position, first)
  local change = first and first.ends or NEVER
  if not queued then
    return change
  end
  local head = sub(call('ZRANGE', QUEUE, 0, 0)[1], 7)
  local silent = silent_at(head)
  -- While grants are left, a living head that fits was granted.
  if silent <= now or grants_left == 0 and fits(mode_of(waiter_of(head).terms)) then
    return now
  end
  return position > 1 and math.min(change, silent) or change
end

-- Position, number of waiters, number of holders, of the holders the first to end, next change.
local function place(outcome, position)
  local first = first_lease()
  local waiting = queued and call('ZCARD', QUEUE) or 0
  local holder = first and first.request
    .. struct.pack('>ddd', first.token, first.granted, first.ends)
    .. without_metadata(first.terms)
  return { outcome, position, waiting, holders(), holder or '', next_change(position, first) }
end

-- The lease that a waiter is handed, which lasts the claim window.
local function granted(request, waiter)
  local _, ttl = read_terms(waiter.terms)
  local window = waiter.keep * 1000
  if ttl > 0 and ttl < window then
    window = ttl
  end
  return { request = request, token = next_token(), granted = now, ends = now + window,
    unclaimed = true, mailbox = waiter.mailbox, terms = waiter.terms }
end

-- The marks.

-- How a request was ended, if it left a mark; with a token, only if that was the lease.
local function end_of(request, token)
  local fades = marked and call('ZSCORE', FADING, request)
  if not fades or tonumber(fades) <= now then
    return nil
  end
  local text = call('HGET', MARKS, request)
  local of, at = struct.unpack('>d', text)
  if token and of ~= 0 and of ~= token then
    return nil
  end
  return sub(text, at)
end

local function unmark(request)
  call('HDEL', MARKS, request)
  call('ZREM', FADING, request)
end

-- Leaves a mark of a request that would have lasted until then. Of two marks of one request the
-- first stays, for as long as the longer of both.
local function mark(request, token, ending, lasted)
  local fades = math.min(math.max(lasted, now + MARK_SPAN), now + MARK_MAX_SPAN)
  local was = marked and tonumber(call('ZSCORE', FADING, request) or 0) or 0
  if was > now then
    fades = math.max(fades, was)
  else
    if was == 0 and marked and call('ZCARD', FADING) >= MARK_LIMIT then
      unmark(call('ZRANGE', FADING, 0, 0)[1])
    end
    call('HSET', MARKS, request, struct.pack('>d', token) .. ending)
  end
  call('ZADD', FADING, fades, request)
  marked, marked_anew = true, true
  -- A second longer than the mark, since the server expires keys by the time of the command.
  local span = math.ceil((fades - now) / 1000) + 1000
  if call('PTTL', MARKS) < span then
    call('PEXPIRE', MARKS, span)
    call('PEXPIRE', FADING, span)
  end
end

-- Settling.

local function expire()
  if alone and alone.ends <= now then
    leases_left = leases_left - 1
    record('expired', write_lease(alone))
    remove(alone.request)
  elseif many then
    for _, request in ipairs(call('ZRANGEBYSCORE', ENDS, '-inf', now, 'LIMIT', 0, leases_left)) do
      leases_left = leases_left - 1
      record('expired', call('HGET', DETAILS, 'h' .. request))
      remove(request)
    end
  end
end

local function lapse(request, silent)
  local waiter = waiter_of(request)
  leave(request, waiter, waits_alone())
  record('lapsed', show_waiter(request, silent, waiter))
end

local function drop_silent()
  while queued and heard <= now and waiters_left > 0 do
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
    waiters_left = waiters_left - 1
    lapse(request, silent)
  end
end

-- Grants the key to the head of the queue, as long as it is alive and fits.
local function promote()
  while queued and not (alone and alone.ends > now and sub(alone.terms, 1, 1) == 'x') do
    local first = call('ZRANGE', QUEUE, 0, 1)
    local request = sub(first[1], 7)
    if heard <= now and silent_at(request) <= now then
      return
    end
    local waiter = waiter_of(request)
    if not fits(mode_of(waiter.terms)) then
      return
    end
    if grants_left == 0 then
      tell(waiter.mailbox, 'a' .. request .. KEY)
      return
    end
    grants_left = grants_left - 1
    leave(request, waiter, not first[2])
    local lease = granted(request, waiter)
    record('granted', write_lease(lease))
    tell_grant(lease)
    put(lease)
  end
end

local function drop_marks()
  if marked then
    for _, request in ipairs(call('ZRANGEBYSCORE', FADING, '-inf', now, 'LIMIT', 0, marks_left)) do
      marks_left = marks_left - 1
      unmark(request)
    end
    marked = call('EXISTS', MARKS) == 1
  end
end

-- Begins a command, with bounds for all locks that it is about.
local function begin()
  TOKEN, WAITS, JOURNAL = KEYS[1], KEYS[2], KEYS[3]
  recorded = 0
  leases_left, waiters_left, marks_left, grants_left =
    SWEEP_LIMIT, SWEEP_LIMIT, SWEEP_LIMIT, SWEEP_LIMIT
end

-- Whether the bounds are spent: what is still to be done belongs into another command.
local function is_spent()
  return leases_left == 0 or waiters_left == 0 or marks_left == 0 or grants_left == 0
end

-- Reads what there is of the lock whose keys follow the first so many, and settles it.
local function open(keys, key)
  KEY = key
  STATE, DETAILS, QUEUE, SILENCE, ENDS, MARKS, FADING = unpack(KEYS, keys + 1, keys + LOCK_KEYS)
  before = call('GET', STATE)
  local text = before or ''
  marked = sub(text, 1, 1) == 'k'
  if marked then
    text = sub(text, 2)
  end
  local kind = sub(text, 1, 1)
  if not string.find(kind, '^[1qnmw]?$') or before == '' then
    error('a state has an unknown letter')
  end
  queued = kind == 'q' or kind == 'n' or kind == 'w'
  heard = queued and struct.unpack('>d', text, 2)
  alone = (kind == '1' or kind == 'q') and read_lease(sub(text, queued and 10 or 2)) or nil
  many = kind == 'm' or kind == 'w' or nil
  held_mode, marked_anew = nil, false
  expire()
  drop_silent()
  promote()
  drop_marks()
end

-- Drops what the request had and lost by time; answers its lease and its waiter, which are alive.
local function settle_for(request)
  local lease, waiter = lease_of(request), waiter_of(request)
  if lease and lease.ends <= now then
    record('expired', write_lease(lease))
    remove(request)
    lease = nil
  end
  if waiter and heard <= now then
    local silent = silent_at(request)
    if silent <= now then
      lapse(request, silent)
      waiter = nil
      promote()
    end
  end
  return lease, waiter
end

-- Writes what changed.
local function close()
  local after = ''
  local horizon = queued and struct.pack('>d', heard)
  if alone then
    after = (queued and 'q' .. horizon or '1') .. write_lease(alone)
  elseif many then
    after = queued and 'w' .. horizon or 'm'
  elseif queued then
    after = 'n' .. horizon
  end
  if marked and after == '' then
    if before ~= 'k' or marked_anew then
      call('SET', STATE, 'k', 'PX', math.max(call('PTTL', MARKS), 1))
    end
    return
  end
  if marked then
    after = 'k' .. after
  end
  if after == '' then
    if before then
      call('DEL', STATE)
    end
  elseif after ~= before then
    call('SET', STATE, after)
  end
end

-- The commands that several share.

local function release(lease)
  record('released', write_lease(lease))
  remove(lease.request)
  promote()
end

-- Runs a command for each request of a batch, which is grouped by locks: of each lock the key and
-- the number of its requests, then so many arguments for each request. Answers the time, then one
-- for one; nothing for the requests that are left when the bounds are spent.
local function for_each(width, command)
  begin()
  local answers, at = { now }, 3
  for keys = 3, #KEYS - 1, LOCK_KEYS do
    local key, requests = ARGV[at], tonumber(ARGV[at + 1])
    at = at + 2
    local is_open = not is_spent()
    if is_open then
      open(keys, key)
    end
    for request = 1, requests do
      -- The first is in the bounds that its lock was opened in.
      local runs = is_open and (request == 1 or not is_spent())
      answers[#answers + 1] = runs and command(at) or false
      at = at + width
    end
    if is_open then
      close()
    end
  end
  return answers
end
=======
>>>>>>> 60477fba54b4e4fbe7b5747e5d9fbe5a1a0263c8
