-- Shows those of some requests that wait.
--
-- KEYS  of as many locks as there are
-- ARGV  2 nothing, then a batch with each request
-- Answers the time, and for each request the waiter, 0 when it does not wait, or nothing when it
-- belongs into another command.

return for_each(1, function(at)
  local request = ARGV[at]
  local waiter = waiter_of(request)
  local silent = waiter and silent_at(request)
  return waiter and silent > now and show_waiter(request, silent, waiter) or 0
end)
