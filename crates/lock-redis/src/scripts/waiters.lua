-- Shows those of some requests that wait for a key.
--
-- ARGV  3 how many requests  4 and on, the requests
-- Answers the waiters.

open(3, ARGV[2])
local answer = {}
for at = 4, 3 + ARGV[3] do
  local waiter = waiter_of(ARGV[at])
  local silent = waiter and silent_at(ARGV[at])
  if waiter and silent > now then
    answer[#answer + 1] = show_waiter(ARGV[at], silent, waiter.text)
  end
end
close()
return answer
