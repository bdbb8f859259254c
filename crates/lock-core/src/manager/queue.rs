//! The loop that waits for a key: ask, wait for news, ask again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::LockGuard;
use super::pending::Pending;
use crate::{Acquisition, Error, ErrorKind, Operation, Place, Result, Wake};

/// How long after the end of a lease the key is asked for that it was in the way of.
const AFTER_THE_END: Duration = Duration::from_millis(1);

/// A request on its way through the queue.
///
/// Dropped or given up, it is cancelled by what becomes of [`Pending`].
pub(super) struct Queue {
    pub(super) pending: Pending,
    /// How long to wait for news before asking again.
    pub(super) heartbeat: Duration,
    pub(super) give_up_at: Option<Instant>,
    /// Where the request stood when it was last told.
    pub(super) place: Option<Place>,
}

impl Queue {
    /// Asks, waits for news, and asks again, until the key is granted or the time is up.
    ///
    /// What only a contended request needs is boxed, so that the future of all others is small.
    pub(super) async fn until_granted(&mut self) -> Result<LockGuard> {
        loop {
            let limit = self.limit();
            match self.pending.ask(limit).await {
                Ok(Acquisition::Granted(lease)) => {
                    return match self.pending.guard(lease) {
                        Ok(guard) => Ok(guard),
                        Err(resumed) => Box::pin(self.pending.resumed_guard(resumed)).await,
                    };
                }
                Ok(Acquisition::Queued(place)) => self.place = Some(place),
                Ok(Acquisition::QueueFull(place)) => return Err(self.pending.refused(place)),
                Ok(other) => return Err(self.pending.nonsense(&other)),
                Err(error) if self.is_time_up() && error.is_retryable() => {
                    return Err(self.give_up(Some(error)));
                }
                // The place in the queue outlives a failure of the store that is well shorter than the
                // keep-alive, and so does the wait for it.
                Err(error) if error.is_retryable() && !self.pending.place_lasts().is_zero() => {
                    tracing::warn!(%error, "a waiting request could not be heard of");
                    Box::pin(sleep(self.pause())).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            if self.is_time_up() {
                return Err(self.give_up(None));
            }
            if let Some(ended) = Box::pin(self.next_news()).await {
                return ended;
            }
        }
    }

    /// Waits for the grant, or for the time to ask again.
    async fn next_news(&mut self) -> Option<Result<LockGuard>> {
        let wake = tokio::select! {
            biased;
            () = self.pending.shared().until_closed() => return Some(Err(self.shut_down())),
            wake = self.pending.wait(self.patience(), self.limit()) => wake,
        };
        match wake {
            Ok(Wake::Granted(lease)) => return self.pending.trusted_guard(lease).map(Ok),
            Ok(Wake::AskAgain) => {}
            // Nothing is lost but the news: the heartbeat goes on.
            Err(error) => {
                tracing::warn!(%error, "news of a request cannot be waited for");
                sleep(self.pause()).await;
            }
        }
        None
    }

    /// How long to wait for news: a heartbeat, but no longer than until the lease in the way ends
    /// when this request is the next, and no longer than the caller waits.
    fn patience(&self) -> Duration {
        let patience = match &self.place {
            // The store is still clearing dead waiters away.
            Some(place) if place.holders == 0 => Duration::ZERO,
            Some(place) if place.position == 1 => {
                let end = place.holder.as_ref().and_then(|it| it.remaining(place.observed_at));
                end.map_or(self.heartbeat, |end| self.heartbeat.min(end + AFTER_THE_END))
            }
            _ => self.heartbeat,
        };
        self.until_time_is_up(patience)
    }

    /// How long to wait for an answer: never longer than the caller waits, and while there is a
    /// place to lose, only so long that it can be kept by another try.
    fn limit(&self) -> Duration {
        let limit = self.pending.shared().config.operation_timeout;
        let limit = if self.place.is_some() { limit.min(self.heartbeat / 4) } else { limit };
        self.until_time_is_up(limit)
    }

    /// How long to wait before a failed command is repeated: a random part of a heartbeat, so that
    /// those who failed together do not come back together.
    fn pause(&self) -> Duration {
        self.until_time_is_up(self.heartbeat.mul_f64(rand::random_range(0.1..0.3)))
    }

    fn until_time_is_up(&self, span: Duration) -> Duration {
        let left = self.give_up_at.map(|at| at.saturating_duration_since(Instant::now()));
        left.map_or(span, |left| span.min(left))
    }

    fn is_time_up(&self) -> bool {
        self.give_up_at.is_some_and(|at| at <= Instant::now())
    }

    /// The error of a wait in vain, which says who was in the way; `failure` is what the last
    /// command ended in, if it did.
    fn give_up(&mut self, failure: Option<Error>) -> Error {
        let error = self.error(ErrorKind::TimedOut);
        match failure {
            Some(failure) if failure.is_unknown() => error.with_source(failure).unknown(),
            Some(failure) => error.with_source(failure),
            None => error,
        }
    }

    fn shut_down(&mut self) -> Error {
        self.error(ErrorKind::ShutDown)
    }

    fn error(&mut self, kind: ErrorKind) -> Error {
        let error = Error::new(kind, Operation::Acquire).with_key(self.pending.key().clone());
        match self.place.take() {
            Some(place) => error.with_place(place),
            None => error,
        }
    }
}
