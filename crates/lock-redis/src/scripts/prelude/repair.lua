-- What is done about a lock whose structures do not match.

-- Maximum number of records that a command repairs by the way.
local REPAIR_LIMIT = 512

-- Whether a record can be read.
local function is_lease(request, text)
  local is_read, lease = pcall(read_lease, text)
  return is_read and lease.request == request and pcall(read_terms, lease.terms) and lease
end

local function is_waiter(text)
  local is_read, waiter = pcall(read_waiter, text)
  return is_read and pcall(read_terms, waiter.terms) and waiter
end

-- The members of a structure; nothing when it is of another type.
local function members(key, first)
  local found = redis.pcall('ZRANGE', key, 0, -1, 'WITHSCORES')
  local scores = {}
  for at = 1, found.err and 0 or #found, 2 do
    scores[sub(found[at], first)] = tonumber(found[at + 1])
  end
  return scores
end

-- Takes the entries of this lock out of the index of the shard.
local function forget_waits()
  local from, tail = 0, #KEY + 17
  while true do
    local entries = call('ZRANGE', WAITS, from, from + 999)
    if #entries == 0 then
      return
    end
    from = from + #entries
    for _, entry in ipairs(entries) do
      local is_session = sub(entry, 1, 1) == 's'
      local is_whole = is_session and #entry == tail + 17 or sub(entry, -tail - 1, -tail - 1) == '\0'
      if is_whole and sub(entry, -tail, -17) == KEY .. '\0' then
        call('ZREM', WAITS, entry)
        from = from - 1
      end
    end
  end
end

-- Makes queue, silence and ends anew of the records. By the way nothing may be dropped, and nothing
-- is done then; an operator has all dropped that cannot be read or has no record.
local function repair(by_operator)
  local report = { leases = 0, waiters = 0, dropped_leases = 0, dropped_waiters = 0 }
  if not pcall(read_state) then
    if not by_operator then
      return nil
    end
    before, alone, many, queued, heard, over, has_over = nil, nil, nil, false, nil, now, false
    marked, marked_anew, held_mode = call('EXISTS', MARKS, FADING) == 2, true, nil
    report.dropped_leases = 1
  end
  if by_operator and (type(redis.pcall('HLEN', MARKS)) == 'table'
      or type(redis.pcall('ZCARD', FADING)) == 'table') then
    call('DEL', MARKS, FADING)
    marked = false
  end
  local length = redis.pcall('HLEN', DETAILS)
  if type(length) == 'table' then
    length = by_operator and 0
  end
  if not length or not by_operator and length > REPAIR_LIMIT then
    return nil
  end
  local fields = length > 0 and call('HGETALL', DETAILS) or {}
  local was_queued, was_many = members(SILENCE, 1), members(ENDS, 1)
  for request in pairs(members(QUEUE, TURN_REQUEST)) do
    was_queued[request] = was_queued[request] or 0
  end
  local leases, waiters, arrivals, last = {}, {}, 0, 0
  for at = 1, #fields, 2 do
    local kind, request, text = sub(fields[at], 1, 1), sub(fields[at], 2), fields[at + 1]
    if kind == 'h' then
      leases[request] = is_lease(request, text)
      report[leases[request] and 'leases' or 'dropped_leases'] =
        report[leases[request] and 'leases' or 'dropped_leases'] + 1
    elseif kind == 'w' then
      waiters[request] = is_waiter(text)
      report[waiters[request] and 'waiters' or 'dropped_waiters'] =
        report[waiters[request] and 'waiters' or 'dropped_waiters'] + 1
    end
  end
  for request in pairs(was_many) do
    report.dropped_leases = report.dropped_leases + (leases[request] == nil and 1 or 0)
  end
  for request in pairs(was_queued) do
    report.dropped_waiters = report.dropped_waiters + (waiters[request] == nil and 1 or 0)
  end
  -- A lease alone has no record beside it.
  if alone and report.leases > 0 then
    report.dropped_leases, report.leases, leases = report.dropped_leases + report.leases, 0, {}
  end
  if many and report.leases == 0 and report.dropped_leases == 0 then
    report.dropped_leases = 1
  end
  if queued and report.waiters == 0 and report.dropped_waiters == 0 then
    report.dropped_waiters = 1
  end
  if not by_operator and report.dropped_leases + report.dropped_waiters > 0 then
    return nil
  end

  if by_operator then
    forget_waits()
  end
  call('DEL', DETAILS, QUEUE, SILENCE, ENDS)
  many, queued, heard = nil, false, nil
  for request, lease in pairs(leases) do
    many = true
    put_with_others(lease)
  end
  for request, waiter in pairs(waiters) do
    local silent = was_queued[request]
    silent = silent and silent > 0 and silent or now + waiter.keep * 1000
    call('HSET', DETAILS, 'w' .. request, waiter.text)
    local turn = rank(waiter.enqueued, waiter.head, mode_of(waiter.terms))
    call('ZADD', QUEUE, turn, member(waiter, request))
    call('ZADD', SILENCE, silent, request)
    local of_owner, of_session = wait_entries(waiter.terms, request)
    call('ZADD', WAITS, 0, of_owner, 0, of_session)
    arrivals, last = math.max(arrivals, waiter.arrival), math.max(last, waiter.enqueued)
    queued, heard = true, math.min(heard or silent, silent)
  end
  if queued then
    call('HSET', DETAILS, 'a', struct.pack(ARRIVALS_FORMAT, arrivals, last))
  end
  report.leases = report.leases + (alone and 1 or 0)
  before = ''
  close()
  return report
end

-- Runs a command. Where it stumbles over structures that do not match, those are repaired if that
-- drops nothing, and the command runs again. Errors begin with a word of what they mean: that of
-- the server, or CORRUPT.
local function guarded(command)
  for attempt = 1, 5 do
    KEY = nil
    local is_done, answer = pcall(command)
    if is_done then
      return answer
    end
    local text = string.gsub(type(answer) == 'table' and answer.err or tostring(answer), '%c+', ' ')
    local word = string.match(' ' .. text, '[ -](%u%u%u+) ')
    if string.find(text, 'The user executing the script', 1, true) then
      word = 'NOPERM'
    end
    if word and word ~= 'WRONGTYPE' and word ~= 'ERR' then
      return redis.error_reply(word .. ' ' .. text)
    end
    local is_repaired, report
    if KEY and not word and attempt < 5 then
      is_repaired, report = pcall(repair, false)
    end
    if not (is_repaired and report) then
      return redis.error_reply('CORRUPT ' .. text)
    end
  end
end
