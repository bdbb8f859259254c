-- The leases of a lock: found, counted, put and removed.

-- The lease of a request, alive or over.
local function lease_of(request)
  if many then
    local text = call('HGET', DETAILS, 'h' .. request)
    bytes_left = bytes_left - (text and #text or 0)
    return text and read_lease(text)
  end
  return alone and alone.request == request and alone
end

-- The lease of this name, if it is alive.
local function named(request, token)
  local lease = lease_of(request)
  return lease and lease.ends > over and lease.token == token and lease
end

-- The number of leases that are alive.
local function holders()
  if many then
    return call('ZCOUNT', ENDS, after_over(), '+inf')
  end
  return alone and alone.ends > over and 1 or 0
end

-- Of the leases that are alive the first to end.
local function first_lease()
  if many then
    local first = call('ZRANGEBYSCORE', ENDS, after_over(), '+inf', 'LIMIT', 0, 1)[1]
    return first and (lease_of(first) or error('a lease has no record'))
  end
  return alone and alone.ends > over and alone
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

-- The request and the token of the lease that an upgrade takes the place of; nil in other modes.
local function upgraded(mode)
  local hex, token = string.match(mode, '^u(%x+)%.(%d+)$')
  if hex then
    local request = string.gsub(hex, '%x%x', function(digits)
      return string.char(tonumber(digits, 16))
    end)
    return request, tonumber(token)
  end
end

-- Ends the lease in whose place a request of this mode is granted.
local function end_upgraded(mode)
  local request, token = upgraded(mode)
  local lease = request and named(request, token)
  if lease then
    record('released', write_lease(lease))
    remove(request)
  end
end

-- The terms of a request as its lease has them.
local function lease_terms(terms)
  return upgraded(mode_of(terms)) and 'x' .. string.match(terms, '^%S+(.*)$') or terms
end

-- Whether a request of this mode could be granted beside the leases that are alive.
local function fits(mode)
  if held_mode == nil then
    local first = first_lease()
    held_mode = first and mode_of(first.terms) or false
  end
  if not held_mode then
    return true
  end
  local request, token = upgraded(mode)
  if request then
    return holders() == 1 and named(request, token) and true or false
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
