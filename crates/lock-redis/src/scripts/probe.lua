-- Does once whatever the other scripts do, so that a user who may not is told when it connects.
--
-- KEYS  1 a key that nobody uses
-- ARGV  1 a channel that nobody listens to

call('SET', KEYS[1], '')
call('SETNX', KEYS[1], '')
call('GETSET', KEYS[1], '')
call('GET', KEYS[1])
call('EXISTS', KEYS[1])
call('PEXPIRE', KEYS[1], 1000)
call('PTTL', KEYS[1])
call('DEL', KEYS[1])
call('HSET', KEYS[1], 'a', '')
call('HGET', KEYS[1], 'a')
call('HDEL', KEYS[1], 'a')
call('ZADD', KEYS[1], 0, 'a')
call('ZCARD', KEYS[1])
call('ZCOUNT', KEYS[1], 0, 1)
call('ZRANGE', KEYS[1], 0, 0)
call('ZRANGEBYSCORE', KEYS[1], 0, 1)
call('ZRANK', KEYS[1], 'a')
call('ZSCORE', KEYS[1], 'a')
call('ZREM', KEYS[1], 'a')
call('XADD', KEYS[1], 'MAXLEN', '~', 1, '*', 'a', '')
call('DEL', KEYS[1])
call('PUBLISH', ARGV[1], '')
return now
