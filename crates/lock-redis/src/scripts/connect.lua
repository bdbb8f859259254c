-- Checks the layout of the store, and creates the store if it is missing.
--
-- KEYS  1 token  2 layout
-- ARGV  1 version of the layout  2 channel of the store
-- Answers the time.

-- The write is repeated on an existing store, as it shows whether the server takes writes.
local asked = redis.pcall('PERSIST', KEYS[1])
if type(asked) == 'table' then
  -- Before version 7 the place of an error stands before its code.
  local word = string.match(' ' .. asked.err, '[ -](%u%u%u+) ') or 'ERR'
  return redis.error_reply(word .. ' ' .. asked.err)
end
local layout = call('GET', KEYS[2])
if layout and layout ~= ARGV[1] then
  return redis.error_reply('LAYOUT the store has layout ' .. layout .. ', and ours is ' .. ARGV[1])
end
if call('SETNX', KEYS[1], now - 1) == 1 then
  call('PUBLISH', ARGV[2], 'lost')
end
if not layout then
  call('SET', KEYS[2], ARGV[1])
end
return now
