-- Puts a document in the place of another, or nothing, if the revision is still the same.
--
-- KEYS  1 the document: its revision in 8 bytes, then its body  2 the last revision of all
-- ARGV  1 the revision that should be there in 8 bytes, empty for none  2 the body
--       3 1 to write the body, 0 to remove the document
-- Answers 1, or 0 when the revision is another.

local held = redis.call('GET', KEYS[1]) or ''
if string.sub(held, 1, 8) ~= ARGV[1] then
  return 0
end
if ARGV[3] == '1' then
  local revision = redis.call('INCR', KEYS[2])
  redis.call('SET', KEYS[1], struct.pack('>I8', revision) .. ARGV[2])
else
  redis.call('DEL', KEYS[1])
end
return 1
