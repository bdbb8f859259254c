-- The state machine of lock-core over the structures of Redis: the part that all commands share,
-- continued in the folder of this name.
--
-- KEYS  1 token    string: the last token of the shard
--       2 waits    zset, all scores 0: for each waiter of the shard o owner \0 key \0 request and
--                  s session key \0 request
--       3 journal  stream of events; the ids are times in us and the number of events of the
--                  command before, so that no id comes again after the stream was flushed
--       4 layout   string: the version of all this
--       and of each lock
--       5 state    string: k when there are marks; then a letter for the rest; where there is a
--                  queue, a time (double) before which nobody in it is silent; then the lease that
--                  is alone, or of several a time (double) up to which leases are over, though they
--                  are still there, or 0
--                    1 one lease   q one lease and a queue   n a queue
--                    m several leases   w several leases and a queue   nothing else: marks only
--                  a state of marks only expires with them; one lease alone,
--                  where no journal waits for its end, a while after its end
--       6 details  hash: 'h' .. request -> lease, of several; 'w' .. request -> waiter;
--                    'a' -> the number of arrivals, and the time of the last
--       7 queue    zset: arrival .. request by rank
--       8 silence  zset: heartbeats: request by the time at which it is silent
--       9 ends     zset: expiry: request by the end of its lease, of several
--      10 marks    hash: request -> mark   11 fading  zset: request by the end of its mark
--                  both expire after the last of them
--       The details are the source: queue, silence and ends are derived from them.
-- ARGV  1 number of entries that the journal keeps, 0 is no journal   2 the key
--
-- lease   request (16 bytes), token, time of the grant and end (doubles), flag, mailbox (16 bytes),
--         terms; the flag is 0, plus 1 while unclaimed, plus 2 when the giver's request (16 bytes)
--         and token (double) precede the terms
-- waiter  time of the arrival (double), arrival, keep-alive in ms and head start in ms (6 bytes
--         each), mailbox (16 bytes), terms
-- terms   mode, ttl in ms and length of the owner as words, owner, metadata; the mode is x for
--         exclusive, r for shared, or the limit of a semaphore; that of a request may be u for an
--         upgrade, with the request in hex, a point and the token; a ttl of 0 is never; the length
--         ends with + instead of a space when a session (16 bytes) other than the request follows
-- mark    the token of the lease (double, 0 is none), ending
-- ending  e, length of the operator as a word, operator, reason; or t, length of the giver as a
--         word, giver, receiver; or c for a cancel
--
-- A mailbox of zeros is none. Numbers are doubles, exact up to 2^53; requests are never numbers.
-- Every answer begins with the time.

-- Here and in the commands, `call`, `sub`, `now`, KEYS and ARGV are there already; nothing else
-- outlives a command: `begin` and `open` set all that follows anew. While a library is loaded, Lua's
-- own functions cannot be called. Names in capitals that are not defined below come from record.rs:
-- FORMAT is a form for struct, and the name of a part is its offset.

local SWEEP_LIMIT, EVICT_LIMIT = 64, 64
-- Maximum number of ended leases that a command drops, of bytes of leases that it reads, and of bytes
-- of a page.
local LEASE_LIMIT, BYTE_LIMIT, PAGE_BYTES = 256, 262144, 131072
local MARK_SPAN, MARK_MAX_SPAN, MARK_LIMIT = 300000000, 3600000000, 1024
local SHARED_KEYS, LOCK_KEYS = 4, 7
local NOWHERE = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
local TOKEN, WAITS, JOURNAL, LAYOUT, KEY, STATE, DETAILS, QUEUE, SILENCE, ENDS, MARKS, FADING
local before, alone, many, held_mode, over, has_over, queued, heard, marked, marked_anew
local used_up, recorded, leases_left, waiters_left, marks_left, grants_left, bytes_left

local function read_lease(text)
  local request, token, granted, ends, flag, mailbox, at = struct.unpack(LEASE_FORMAT, text)
  local lease = { request = request, token = token, granted = granted, ends = ends,
    mailbox = mailbox }
  lease.unclaimed = flag == '1' or flag == '3'
  if flag == '2' or flag == '3' then
    lease.given_by = sub(text, at, at + GIVER_TERMS - 2)
    at = at + GIVER_TERMS - 1
  elseif flag ~= '0' and flag ~= '1' then
    error('a lease has an unknown flag')
  end
  lease.terms = sub(text, at)
  return lease
end

local function write_lease(lease)
  local flag = (lease.unclaimed and 1 or 0) + (lease.given_by and 2 or 0)
  return lease.request .. struct.pack(TERM_FORMAT, lease.token, lease.granted, lease.ends)
    .. flag .. lease.mailbox .. (lease.given_by or '') .. lease.terms
end

local function read_waiter(text)
  local enqueued, arrival, keep, head, mailbox, at = struct.unpack(WAITER_FORMAT, text)
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

-- The ends of leases that are alive: the lower bound of a range of scores.
local function after_over()
  return string.format('(%.0f', over)
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

-- Notifies a mailbox: a message on its channel, which is named like the token's key.
local function tell(mailbox, message)
  if mailbox ~= NOWHERE then
    call('PUBLISH', sub(TOKEN, 1, -6) .. 'mailbox:' .. mailbox, message)
  end
end

local function tell_grant(lease)
  tell(lease.mailbox, 'g' .. lease.request
    .. struct.pack(TERM_FORMAT, lease.token, lease.granted, lease.ends) .. KEY)
end

local function tell_end(mailbox, request, token, ending)
  tell(mailbox, 'e' .. request .. struct.pack(ENDED_FORMAT, token, #ending) .. ending .. KEY)
end

-- Notifies every mailbox that the store lost data: holders and waiters ask for their state.
local function tell_lost()
  call('PUBLISH', sub(TOKEN, 1, -6) .. 'store', 'lost')
end

-- The next token; nil where the last one is missing, and leases with it: it is then written anew and
-- every mailbox is notified, and this command grants nothing. Nil as well after 2^53, the last exact
-- number.
local function next_token()
  if grants_left < 0 then
    return nil
  end
  local clock = math.min(now, LAST_CLOCK)
  local last = call('GETSET', TOKEN, clock)
  if not last then
    grants_left = -1
    call('SET', LAYOUT, LAYOUT_VERSION)
    tell_lost()
    return nil
  end
  if last - clock < 0 then
    return clock
  end
  if last + 1 >= NEVER then
    grants_left, used_up = -1, true
    call('SET', TOKEN, last)
    return nil
  end
  call('SET', TOKEN, last + 1)
  return last + 1
end

-- The answer of a command without a token for its grant.
local function no_token()
  if used_up then
    return redis.error_reply('CORRUPT the last token is ' .. call('GET', TOKEN) .. ': none is left')
  end
  return redis.error_reply('NOTOKEN the last token was missing, and is written anew')
end
