//! The loop that waits for a key: ask, wait for news, ask again.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::LockGuard;
use super::backoff::Backoff;
use super::evidence::Answered;
use super::mailbox::News;
use super::pending::{Answer, Pending, Standing};
use crate::{Error, ErrorKind, Operation, QueuePosition, Result, Timed};

/// How long after the next possible change the head of the queue asks, for clocks that are coarse.
const AFTER_A_CHANGE: Duration = Duration::from_millis(1);
/// How much later each position asks than the one before it.
const STAGGER: Duration = Duration::from_millis(20);
/// The last position that asks at the next possible change and not only at its heartbeat.
const LAST_EAGER: u64 = 50;
/// The longest time between two hearings of a waiter.
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(10);

/// How often a waiter of this keep-alive is heard at the least.
pub(super) fn heartbeat(keep_alive: Duration) -> Duration {
    (keep_alive / 3).min(LONGEST_HEARTBEAT)
}

/// A request on its way through the queue.
///
/// Dropped or given up, it is cancelled by what becomes of [`Pending`].
pub(super) struct Queue {
    pub(super) pending: Pending,
    pub(super) heartbeat: Duration,
    pub(super) give_up_at: Option<Instant>,
    /// Where the request stood by the last answer, while it waits.
    pub(super) standing: Option<(Answered, QueuePosition)>,
    /// Whether the store failed to answer since then.
    pub(super) is_silent: bool,
}

impl Queue {
    /// Asks, waits for news, and asks again, until the key is granted or the time is up.
    ///
    /// What only a contended request needs is boxed, so that the future of all others is small.
    pub(super) async fn until_granted(&mut self) -> Result<LockGuard> {
        let mut backoff = Backoff::default();
        let mut is_queued = false;
        self.pending.until_told(self.limit(is_queued)).await;
        loop {
            let limit = self.limit(is_queued);
            let answer = match is_queued {
                true => Box::pin(self.pending.hear(limit)).await,
                false => self.pending.acquire(limit).await,
            };
            let (answered, position) = match answer {
                Ok(Answer { answered, value }) => match value {
                    Standing::Granted(lease) => return Ok(self.pending.guard(answered, lease)),
                    Standing::Queued(position) => (answered, position),
                    // The place was lost, over an outage perhaps: the request joins again.
                    Standing::Absent => {
                        is_queued = false;
                        continue;
                    }
                    // Dead waiters fill the queue, and the store drops some with each command.
                    Standing::QueueFull(position)
                        if position.next_change_at == Some(answered.observed_at) =>
                    {
                        tokio::task::yield_now().await;
                        continue;
                    }
                    other => return Err(self.ended(answered, other)),
                },
                Err(error) if !error.is_retryable() => return Err(error),
                // The time of the caller was up sooner than that of a store that answers.
                Err(_) if is_queued && !self.is_silent && self.is_time_up() => {
                    return Err(self.error(ErrorKind::WaitOver));
                }
                Err(error) if self.is_time_up() => return Err(self.silent(error)),
                Err(error) => {
                    self.is_silent = true;
                    tracing::warn!(%error, "a waiting request was not answered");
                    let pause = self.until_time_is_up(backoff.next());
                    tokio::select! {
                        biased;
                        () = self.pending.shared().until_closed() => {
                            return Err(self.error(ErrorKind::ShutDown));
                        }
                        () = Box::pin(sleep(pause)) => continue,
                    }
                }
            };
            (is_queued, backoff, self.is_silent) = (true, Backoff::default(), false);
            let ask_at = self.ask_at(answered, &position);
            self.standing = Some((answered, position));
            if let Some(ended) = Box::pin(self.next_news(ask_at)).await {
                return ended;
            }
        }
    }

    /// Waits for the grant, or for the time to ask again.
    async fn next_news(&mut self, ask_at: Instant) -> Option<Result<LockGuard>> {
        let wake_at = self.give_up_at.map_or(ask_at, |give_up_at| give_up_at.min(ask_at));
        let news = tokio::select! {
            biased;
            () = self.pending.shared().until_closed() => {
                return Some(Err(self.error(ErrorKind::ShutDown)));
            }
            news = self.pending.news() => Some(news),
            () = sleep_until(wake_at) => None,
        };
        match news {
            Some(News::Granted(grant)) => self.pending.guard_by_notice(&grant).map(Ok),
            Some(News::Ask) => {
                self.pending.forget_answers();
                None
            }
            None if self.is_time_up() => Some(Err(self.error(ErrorKind::WaitOver))),
            None => None,
        }
    }

    /// When to ask again if nothing is told: at the heartbeat, and before that when something may
    /// change by time alone, the head of the queue first.
    fn ask_at(&self, answered: Answered, position: &QueuePosition) -> Instant {
        let heartbeat = answered.sent + self.heartbeat;
        let Some(change) = position.next_change_at else { return heartbeat };
        let after = change.since(answered.observed_at);
        // The store still drops dead waiters or grants others. Each command does its share, so however
        // many ask at once, they send few more than what is left takes.
        if after.is_zero() {
            return answered.sent;
        }
        let stagger = match position.position {
            eager @ 0..=LAST_EAGER => STAGGER * u32::try_from(eager.max(1) - 1).unwrap_or(0),
            _ => return heartbeat,
        };
        heartbeat.min(answered.sent + after + stagger + AFTER_A_CHANGE)
    }

    /// How long to wait for an answer: no longer than the caller waits, and while there is a place
    /// to lose, only so long that it can be kept by another attempt.
    fn limit(&self, is_queued: bool) -> Duration {
        let limit = self.pending.shared().config.operation_timeout;
        self.until_time_is_up(if is_queued { limit.min(self.heartbeat / 4) } else { limit })
    }

    fn until_time_is_up(&self, span: Duration) -> Duration {
        let left = self.give_up_at.map(|at| at.saturating_duration_since(Instant::now()));
        left.map_or(span, |left| span.min(left))
    }

    fn is_time_up(&self) -> bool {
        self.give_up_at.is_some_and(|at| at <= Instant::now())
    }

    /// The error of an answer that ends the wait.
    fn ended(&mut self, answered: Answered, standing: Standing) -> Error {
        match standing {
            Standing::QueueFull(position) => {
                self.pending.forget_place();
                self.standing = Some((answered, position));
                self.error(ErrorKind::QueueFull)
            }
            Standing::Ended(end) => {
                self.pending.forget_place();
                self.error(ErrorKind::Ended).with_end(end)
            }
            other => self.pending.corrupt(format!("an answer that was not asked for: {other:?}")),
        }
    }

    /// The error of a wait that ends while the store is silent.
    fn silent(&mut self, failure: Error) -> Error {
        let error = self.error(ErrorKind::Unavailable);
        if failure.is_unknown() {
            error.with_source(failure).unknown()
        } else {
            error.with_source(failure)
        }
    }

    /// An error that tells where the request stood.
    fn error(&mut self, kind: ErrorKind) -> Error {
        let error = Error::new(kind, Operation::Acquire).with_key(self.pending.key().clone());
        match self.standing.take() {
            // Ages go on since the store told of them.
            Some((answered, position)) => {
                let now = answered.observed_at.after(answered.sent.elapsed());
                error.with_position(Timed::new(now, position))
            }
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeat_is_a_third_of_the_keep_alive_and_at_most_ten_seconds() {
        assert_eq!(heartbeat(Duration::from_secs(9)), Duration::from_secs(3));
        assert_eq!(heartbeat(Duration::from_secs(86_400)), Duration::from_secs(10));
    }
}
