-- Removes the lock of a project if it is that of a pull request.
--
-- KEYS  1 the lock
-- ARGV  1 the number of the pull request
-- Answers the lock that ended, or nothing.

local held = redis.call("GET", KEYS[1])
if not held then
  return nil
end
local is_read, record = pcall(cjson.decode, held)
if not is_read then
  return redis.error_reply("the lock cannot be read")
end
if not record["Pull"] or tonumber(record["Pull"]["Num"]) ~= tonumber(ARGV[1]) then
  return nil
end
redis.call("DEL", KEYS[1])
return held
