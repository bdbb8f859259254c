//! The acquire loop: send the request, wait for notifications, rejoin the queue.

use std::future::{Future, pending};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::LockGuard;
use super::backoff::Backoff;
use super::clock_bound::ClockBound;
use super::meters::AcquireOutcome;
use super::notification::{Notification, QueueStatus};
use super::pending_request::{Answer, PendingRequest};
use super::planted::{self, ManagerFault};
use crate::{
    Acquisition, Deadlock, End, Error, ErrorKind, Operation, QueuePosition, Result, Timed,
};

/// Delay after which the heartbeat task counts as stopped.
const STALL: Duration = Duration::from_secs(2);

/// The shortest time that the answer to an acquire is waited for.
const SHORTEST_ANSWER: Duration = Duration::from_millis(100);

/// State of the acquire loop.
///
/// Dropping it cancels the request through [`PendingRequest`].
pub(super) struct Queue {
    pub(super) pending: PendingRequest,
    pub(super) heartbeat: Duration,
    /// Whether this manager alone acquires for the session.
    pub(super) is_local_session: bool,
    pub(super) give_up_at: Option<Instant>,
    /// Last known position, for the time-out error.
    pub(super) last: Option<QueueStatus>,
}

impl Queue {
    /// Waits for the grant, and counts the outcome.
    pub(super) async fn until_granted(&mut self) -> Result<LockGuard> {
        let granted = self.granted_in_turn().await;
        if let Err(error) = &granted {
            self.pending.count(AcquireOutcome::of(error));
        }
        granted
    }

    /// Sends the request, waits for notifications and rejoins the queue until the key is granted or
    /// the time is up.
    ///
    /// State that only contended requests need is boxed to keep the future of all others small.
    async fn granted_in_turn(&mut self) -> Result<LockGuard> {
        let policy = self.pending.shared().config.retry_policy;
        let mut backoff = Backoff::of(policy);
        let longest = self.pending.shared().config.operation_timeout.span();
        // The request itself needs time, too.
        let half = self.until_time_is_up(longest * 2) / 2;
        self.pending.shared().mailbox.until_opened(half).await;
        if self.pending.has_departures() {
            Box::pin(self.pending.until_departed(half)).await;
        }
        loop {
            // However short the wait, a store on a network is given the time for one answer.
            let limit = self.until_time_is_up(longest).max(SHORTEST_ANSWER.min(longest));
            let (answered, position) = match self.pending.acquire(limit).await {
                Ok(Answer { answered, value }) => match value {
                    Acquisition::Granted(lease) => return Ok(self.pending.guard(answered, lease)),
                    Acquisition::Queued(position) => (answered, position),
                    // Dead waiters fill the queue, and the store drops some with each command.
                    Acquisition::QueueFull(position)
                        if position.next_change_at == Some(answered.observed_at)
                            && !self.is_time_up()
                            && !self.pending.shared().life.closed().is_cancelled() =>
                    {
                        tokio::task::yield_now().await;
                        continue;
                    }
                    Acquisition::QueueFull(position) => {
                        self.note(answered, position);
                        return Err(self.error(ErrorKind::QueueFull));
                    }
                    Acquisition::Ended(end) => return Err(self.ended(end)),
                    Acquisition::NotHeld => return Err(self.pending.nothing_to_upgrade()),
                    Acquisition::Deadlock(position) => {
                        return Err(self.pending.second_upgrade(answered, position));
                    }
                    other @ Acquisition::Held(_) => {
                        let cause = format!("unexpected answer: {other:?}");
                        return Err(self.pending.corrupt(cause));
                    }
                },
                Err(error)
                    if !error.is_retryable() || planted::has(ManagerFault::FailureEndsWait) =>
                {
                    return Err(error);
                }
                Err(error) => {
                    let Some(pause) = backoff.next_if_any() else { return Err(error) };
                    tracing::warn!(%error, "a request was not answered");
                    Box::pin(self.pause(pause, error)).await?;
                    continue;
                }
            };
            backoff = Backoff::of(policy);
            self.pending.wait(self.heartbeat, answered, position);
            // Without an end the place was lost, over an outage perhaps: the request joins again.
            if let Some(ended) = Box::pin(self.in_queue()).await {
                return ended;
            }
        }
    }

    /// Waits for the end of the request; nothing when it lost its place.
    async fn in_queue(&mut self) -> Option<Result<LockGuard>> {
        let closed = self.pending.shared().life.closed().clone();
        let detector = self.pending.detector(self.heartbeat, self.is_local_session);
        let position = self.pending.status().map(|status| status.position);
        let mut deadlock = detector.map(|detector| Box::pin(detector.until_victim(position)));
        let mut look_at = self.stalls_at()?;
        let mut is_late = false;
        loop {
            let wake_at = self.give_up_at.map_or(look_at, |give_up_at| give_up_at.min(look_at));
            let news = tokio::select! {
                biased;
                () = closed.cancelled() => return Some(Err(self.closed())),
                news = self.pending.news() => Some(news),
                deadlock = until_some(&mut deadlock) => return Some(Err(self.deadlock(deadlock))),
                () = sleep_until(wake_at) => None,
            };
            match news {
                Some(Notification::Granted(grant, answered, told_at)) => {
                    if let Some(guard) = self.pending.guard_by_notice(&grant, answered) {
                        let latency = guard.acquired_at().saturating_duration_since(told_at);
                        self.pending.shared().meters.noticed(latency);
                        return Some(Ok(guard));
                    }
                    self.pending.hear_now();
                }
                Some(Notification::Holds(answered, lease)) => {
                    return Some(Ok(self.pending.guard(answered, lease)));
                }
                Some(Notification::Ended(end)) => return Some(Err(self.ended(end))),
                Some(Notification::Failed(error)) => return Some(Err(error)),
                Some(Notification::Absent) => {
                    self.last = self.pending.status();
                    if planted::has(ManagerFault::LostPlaceEndsWait) {
                        return Some(Err(self.error(ErrorKind::Unavailable)));
                    }
                    self.pending.forget_place();
                    return None;
                }
                None if self.is_time_up() && planted::has(ManagerFault::AsksWhenOver) => {
                    let answer = self.pending.acquire(Duration::from_millis(1)).await;
                    return Some(Err(answer.err().unwrap_or_else(|| self.wait_over())));
                }
                None if self.is_time_up() => {
                    self.last = self.pending.status();
                    return Some(Err(self.wait_over()));
                }
                None => {
                    // After a pause of the whole process, everything is late at first.
                    let stalls_at = self.stalls_at()?;
                    let now = Instant::now();
                    if stalls_at <= now && is_late {
                        return Some(Err(self.stalled()));
                    }
                    is_late = stalls_at <= now;
                    look_at = if is_late { now + STALL } else { stalls_at };
                }
            }
        }
    }

    /// When the task that hears the request is certainly late.
    fn stalls_at(&self) -> Option<Instant> {
        let longest = self.pending.shared().config.operation_timeout.span();
        Some(self.pending.tried()? + self.heartbeat + longest + STALL)
    }

    /// Waits before another attempt after a `failure`.
    async fn pause(&mut self, pause: Duration, failure: Error) -> Result<()> {
        if self.is_time_up() {
            return Err(self.silent(failure));
        }
        let closed = self.pending.shared().life.closed().clone();
        tokio::select! {
            biased;
            () = closed.cancelled() => return Err(self.closed()),
            () = sleep(self.until_time_is_up(pause)) => {}
        }
        if self.is_time_up() { Err(self.silent(failure)) } else { Ok(()) }
    }

    fn until_time_is_up(&self, span: Duration) -> Duration {
        let left = self.give_up_at.map(|at| at.saturating_duration_since(Instant::now()));
        left.map_or(span, |left| span.min(left))
    }

    fn is_time_up(&self) -> bool {
        self.give_up_at.is_some_and(|at| at <= Instant::now())
    }

    fn note(&mut self, answered: ClockBound, position: QueuePosition) {
        self.last = Some(QueueStatus { answered, position, failure: None });
    }

    /// The error of a wait that took as long as it may: the store answered to the end, or not.
    fn wait_over(&mut self) -> Error {
        let Some(last) = &mut self.last else { return self.error(ErrorKind::WaitOver) };
        // An answer that is late is no silence yet.
        let is_late = last.answered.sent.elapsed() <= self.heartbeat * 2;
        match last.failure.take() {
            Some(failure) if !failure.is_unknown() || !is_late => self.silent(failure),
            _ => self.error(ErrorKind::WaitOver),
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

    fn ended(&mut self, end: End) -> Error {
        self.last = self.pending.status();
        self.pending.forget_place();
        self.error(ErrorKind::Ended).with_end(end)
    }

    fn deadlock(&mut self, deadlock: Deadlock) -> Error {
        // The others go on only without its place.
        self.pending.unkeep();
        self.last = self.pending.status();
        self.pending.report(&deadlock);
        self.error(ErrorKind::Deadlock).with_source(deadlock)
    }

    fn closed(&mut self) -> Error {
        self.last = self.pending.status();
        let error = self.pending.shared().life.error(Operation::Acquire);
        self.tell_where(error)
    }

    fn stalled(&mut self) -> Error {
        self.last = self.pending.status();
        let error = Error::new(ErrorKind::ShutDown, Operation::Acquire);
        self.tell_where(error.with_source("the runtime of the manager's tasks is not driven"))
    }

    fn error(&mut self, kind: ErrorKind) -> Error {
        self.tell_where(Error::new(kind, Operation::Acquire))
    }

    /// Adds the last known position to the error.
    fn tell_where(&mut self, error: Error) -> Error {
        let error = error.with_key(self.pending.key().clone());
        match self.last.take() {
            // Ages have grown since the store reported them.
            Some(QueueStatus { answered, position, .. }) => {
                let now = answered.observed_at.after(answered.sent.elapsed());
                error.with_position(Timed::new(now, position))
            }
            None => error,
        }
    }
}

/// Completes with the future, if there is one.
async fn until_some<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}
