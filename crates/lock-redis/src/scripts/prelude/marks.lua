-- What a request leaves that was ended by force, or cancelled too early to be sure.

-- How a request was ended, if it left a mark; with a token, only if that was the lease.
local function end_of(request, token)
  local fades = marked and call('ZSCORE', FADING, request)
  if not fades or tonumber(fades) <= now then
    return nil
  end
  local text = call('HGET', MARKS, request)
  if not text then
    return nil
  end
  local of, at = struct.unpack(MARK_FORMAT, text)
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
    call('HSET', MARKS, request, struct.pack(MARK_FORMAT, token) .. ending)
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
