-- The present time of the server in microseconds, the only clock there is.
local time = call('TIME')
now = time[1] * 1000000 + time[2]
