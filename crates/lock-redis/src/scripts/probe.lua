-- Calls each command of the other scripts once, so that connecting fails where a permission is missing.
--
-- KEYS  1 an unused key
-- ARGV  1 an unused channel

local key = KEYS[1]
call('SET', key, '')
call('SETNX', key, '')
call('GETSET', key, '')
call('GET', key)
call('MGET', key)
call('EXISTS', key)
call('PERSIST', key)
call('PEXPIRE', key, 1000)
call('PTTL', key)
call('DEL', key)
call('HSET', key, 'a', '')
call('HGET', key, 'a')
call('HGETALL', key)
call('HLEN', key)
call('HDEL', key, 'a')
call('ZADD', key, 0, 'a')
call('ZCARD', key)
call('ZCOUNT', key, 0, 1)
call('ZRANGE', key, 0, 0)
call('ZRANGEBYSCORE', key, 0, 1)
call('ZRANK', key, 'a')
call('ZSCAN', key, 0)
call('ZSCORE', key, 'a')
call('ZREM', key, 'a')
call('XADD', key, 'MAXLEN', '~', 1, '*', 'a', '')
call('DEL', key)
call('PUBLISH', ARGV[1], '')
return now
