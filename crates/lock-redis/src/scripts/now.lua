-- The present time of the server in microseconds, the only clock there is.
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
