-- Settles locks that perhaps nobody looks at any more.
--
-- KEYS  of as many locks as there are
-- ARGV  2 nothing, then a batch with nothing for each lock
-- Answers the time, and for each lock 1 when more is over than a command drops, or else 0; or
-- nothing when it belongs into another command.

return for_each(0, function()
  return (has_over or queued and heard <= now) and 1 or 0
end)
