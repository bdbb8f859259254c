-- What every command does first and last: settling what time has changed, reading and writing.

-- Leases that are over. A bounded number goes, and the rest counts nowhere: the time up to which
-- they are over is kept, so that a clock which jumps back revives none.
local function expire()
  if alone and alone.ends <= over then
    record('expired', write_lease(alone))
    remove(alone.request)
  end
  while many do
    local first = call('ZRANGE', ENDS, 0, 0, 'WITHSCORES')
    if tonumber(first[2]) > over then
      has_over = false
      return
    end
    if leases_left <= 0 then
      has_over = true
      return
    end
    local requests = call('ZRANGEBYSCORE', ENDS, '-inf', over, 'LIMIT', 0, LEASE_LIMIT)
    leases_left = leases_left - #requests
    local fields = {}
    for at, request in ipairs(requests) do
      fields[at] = 'h' .. request
      if ARGV[1] ~= '0' then
        record('expired', call('HGET', DETAILS, fields[at]))
      end
    end
    call('HDEL', DETAILS, unpack(fields))
    call('ZREM', ENDS, unpack(requests))
    held_mode = nil
    many = call('EXISTS', ENDS) == 1 or nil
  end
  has_over = false
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
    local head = sub(call('ZRANGE', QUEUE, 0, 0)[1], TURN_REQUEST)
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
  while queued and not (alone and alone.ends > over and sub(alone.terms, 1, 1) == 'x') do
    local first = call('ZRANGE', QUEUE, 0, 1)
    local request = sub(first[1], TURN_REQUEST)
    if heard <= now and silent_at(request) <= now then
      -- More dead waiters than a command drops: the one that lives longest goes on.
      local last = call('ZRANGE', SILENCE, -1, -1)[1]
      if silent_at(last) > now then
        tell(waiter_of(last).mailbox, 'a' .. last .. KEY)
      end
      return
    end
    local waiter = waiter_of(request)
    if not fits(mode_of(waiter.terms)) then
      return
    end
    local token = grants_left > 0 and next_token()
    if not token then
      -- Who asks for a token where none is left would ask for ever.
      if not used_up then
        tell(waiter.mailbox, 'a' .. request .. KEY)
      end
      return
    end
    grants_left = grants_left - 1
    leave(request, waiter, not first[2])
    end_upgraded(mode_of(waiter.terms))
    local lease = granted(request, waiter, token)
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
  TOKEN, WAITS, JOURNAL, LAYOUT = unpack(KEYS, 1, SHARED_KEYS)
  recorded, leases_left, bytes_left, used_up = 0, LEASE_LIMIT, BYTE_LIMIT, false
  waiters_left, marks_left, grants_left = SWEEP_LIMIT, SWEEP_LIMIT, SWEEP_LIMIT
end

-- Whether the bounds are spent: what is still to be done belongs into another command.
local function is_spent()
  return waiters_left == 0 or marks_left == 0 or grants_left <= 0 or bytes_left <= 0
end

-- Names the keys of the lock that follow the first so many.
local function name(keys, key)
  KEY = key
  STATE, DETAILS, QUEUE, SILENCE, ENDS, MARKS, FADING = unpack(KEYS, keys + 1, keys + LOCK_KEYS)
end

-- Reads the state of the lock.
local function read_state()
  before = call('GET', STATE)
  local text = before or ''
  bytes_left = bytes_left - #text
  marked = sub(text, 1, 1) == 'k'
  if marked then
    text = sub(text, 2)
  end
  local kind = sub(text, 1, 1)
  if not string.find(kind, '^[1qnmw]?$') or before == '' then
    error('a state has an unknown letter')
  end
  queued = kind == 'q' or kind == 'n' or kind == 'w'
  many = kind == 'm' or kind == 'w' or nil
  heard = queued and struct.unpack('>d', text, 2)
  local at = queued and 10 or 2
  alone = (kind == '1' or kind == 'q') and read_lease(sub(text, at)) or nil
  over = many and struct.unpack('>d', text, at) or 0
  has_over = over > 0
  held_mode, marked_anew = nil, false
end

-- Reads what there is of the lock whose keys follow the first so many, and settles it: whether that
-- could be done. Where the clock jumped back and more is over than a command drops, a new lease
-- could end before those that are over did: nothing but dropping is done until all are gone.
local function settles(keys, key)
  name(keys, key)
  read_state()
  local jumped_back = over > now
  over = math.max(over, now)
  expire()
  if has_over and jumped_back then
    return false
  end
  over = has_over and over or now
  drop_silent()
  promote()
  drop_marks()
  return true
end

-- The same for a command of one lock, which does nothing where that could not be done.
local function open(keys, key)
  if not settles(keys, key) then
    error('SPENT more is over than a command drops')
  end
end

-- Drops what the request had and lost by time; answers its lease and its waiter, which are alive.
local function settle_for(request)
  local lease, waiter = lease_of(request), waiter_of(request)
  if lease and lease.ends <= over then
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
  local after, horizon = '', queued and struct.pack('>d', heard)
  if alone then
    after = (queued and 'q' .. horizon or '1') .. write_lease(alone)
  elseif many then
    after = (queued and 'w' .. horizon or 'm') .. struct.pack('>d', has_over and over or 0)
  elseif queued then
    after = 'n' .. horizon
  end
  if marked and after == '' then
    if before ~= 'k' or marked_anew then
      call('SET', STATE, 'k', 'PX', math.max(call('PTTL', MARKS), 1))
    end
  elseif after == '' then
    if before then
      call('DEL', STATE)
    end
  elseif marked then
    after = 'k' .. after
    if after ~= before then
      call('SET', STATE, after)
    end
  elseif after ~= before then
    if alone and not queued and alone.ends < NEVER and ARGV[1] == '0' then
      call('SET', STATE, after, 'PX', math.ceil((alone.ends - now) / 1000) + GRACE)
    else
      call('SET', STATE, after)
    end
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
  for keys = SHARED_KEYS, #KEYS - 1, LOCK_KEYS do
    local key, requests = ARGV[at], tonumber(ARGV[at + 1])
    at = at + 2
    local is_open = not is_spent()
    if is_open then
      is_open = settles(keys, key)
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
