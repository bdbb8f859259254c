//! A request that was sent and is not granted yet. It is cancelled in the store even if its future
//! is dropped.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::bounded::bounded;
use super::clock_bound::ClockBound;
use super::deadlock::Detector;
use super::meters::{AcquireOutcome, PriorityLabel};
use super::notification::{EarlyNotice, Notification, QueueStatus};
use super::planted::{self, ManagerFault};
use super::releaser::{ReleaseCommand, ReleaseJob};
use super::session::SessionScope;
use super::waiter_registry::Registration;
use super::{Attempt, LockGuard, Shared, TrackerToken};
use crate::LossReason;
use crate::{
    AcquireRequest, Acquisition, CancelRequest, Deadlock, Error, ErrorKind, Grant, Lease, LockKey,
    OnHeld, Operation, QueuePosition, Result, Timed,
};

/// A request that was sent and is not granted yet.
///
/// Dropping it cancels the request in the background, even if the answer never arrived, unless it is
/// kept.
pub(super) struct PendingRequest {
    request: AcquireRequest,
    tracker: TrackerToken,
    entered: Registration,
    /// `true` if the request is known to be queued.
    has_place: bool,
    /// The number of acquires that were sent and may still arrive.
    outstanding: usize,
    /// `true` if another program goes on with the request.
    is_kept: bool,
    priority: PriorityLabel,
    /// When it was first sent.
    asked_at: Option<Instant>,
    /// `true` once the outcome is counted.
    is_counted: bool,
    /// `true` once the request has joined a queue.
    has_joined: bool,
}

impl PendingRequest {
    pub(super) fn new(shared: &Arc<Shared>, request: AcquireRequest) -> Result<Self> {
        let tracker = TrackerToken::enter(shared, Operation::Acquire)
            .map_err(|error| error.with_key(request.key.clone()))?;
        let request = request.with_mailbox(shared.mailbox.id());
        let entered = shared.waiters.enter(request.id, request.key.clone());
        let priority = PriorityLabel::of(request.head_start, shared.config.ageing_step);
        Ok(Self {
            request,
            tracker,
            entered,
            has_place: false,
            outstanding: 0,
            is_kept: false,
            priority,
            asked_at: None,
            is_counted: false,
            has_joined: false,
        })
    }

    pub(super) const fn key(&self) -> &LockKey {
        &self.request.key
    }

    /// The detector of deadlocks, if the request is in a session with others.
    pub(super) fn detector(&self, heartbeat: Duration, is_local: bool) -> Option<Detector> {
        let AcquireRequest { id: request, session, ref key, .. } = self.request;
        let is_alone = session == request.into();
        let (shared, key) = (Arc::clone(&self.tracker.shared), key.clone());
        let session = SessionScope { id: session, is_local };
        (!is_alone).then_some(Detector { shared, key, request, session, heartbeat })
    }

    /// Waits until what the session has dropped has reached the store, as long as that may take.
    pub(super) async fn until_departed(&self, limit: Duration) {
        let departed = self.tracker.shared.sessions.until_departed(self.request.session);
        let _ = tokio::time::timeout(limit, departed).await;
    }

    /// Returns `true` if something that the session has dropped is on its way to the store.
    pub(super) fn has_departures(&self) -> bool {
        let AcquireRequest { id, session, .. } = self.request;
        session != id.into() && self.tracker.shared.sessions.has_departing(session)
    }

    /// The manager that the request is of.
    pub(super) fn shared(&self) -> &Shared {
        &self.tracker.shared
    }

    /// Sends the request, and waits for the answer for `limit`.
    pub(super) async fn acquire(&mut self, limit: Duration) -> Result<Answer> {
        let sent = Instant::now();
        self.asked_at.get_or_insert(sent);
        // Counted before, in case that this future is dropped.
        self.outstanding += 1;
        let call = self.tracker.shared.store.acquire(&self.request);
        let reply = bounded(limit, Operation::Acquire, Some(&self.request.key), call).await;
        if reply.as_ref().err().is_none_or(|error| !error.is_unknown()) {
            self.outstanding -= 1;
        }
        let Timed { observed_at, value, .. } = reply?;
        let sent =
            if planted::has(ManagerFault::CountsFromArrival) { Instant::now() } else { sent };
        self.has_place = matches!(value, Acquisition::Queued(_));
        Ok(Answer { answered: ClockBound { sent, observed_at }, value })
    }

    /// Has the request heard from now on: an answer said that it waits there.
    pub(super) fn wait(
        &mut self,
        heartbeat: Duration,
        answered: ClockBound,
        position: QueuePosition,
    ) {
        if !self.has_joined {
            self.has_joined = true;
            self.shared().meters.joined_at(position.position);
        }
        self.entered.wait(heartbeat, answered, position);
    }

    /// Has the request heard now.
    pub(super) fn hear_now(&self) {
        self.entered.hear_now();
    }

    /// Waits for news of the request.
    pub(super) async fn news(&mut self) -> Notification {
        self.entered.news().await
    }

    /// Position of the request while it is queued.
    pub(super) fn status(&self) -> Option<QueueStatus> {
        self.entered.status()
    }

    /// When the request was last taken up by the task that hears it, while it waits.
    pub(super) fn tried(&self) -> Option<Instant> {
        self.entered.tried()
    }

    /// The guard of a lease that came as an answer.
    pub(super) fn guard(&mut self, answered: ClockBound, lease: Lease) -> LockGuard {
        let lasts = answered.lasts(lease.expires_at);
        self.turn_into_guard(lease, answered.sent, lasts, true)
    }

    /// The guard of a lease that came as a notice, if that can be relied on.
    pub(super) fn guard_by_notice(
        &mut self,
        grant: &Grant,
        answered: Option<ClockBound>,
    ) -> Option<LockGuard> {
        let now = Instant::now();
        let (since, lasts) = if planted::has(ManagerFault::TrustsEveryNotice) {
            (now, grant.expires_at.map(|end| end.since(grant.granted_at)))
        } else {
            answered?.validity_by_notice(grant, now)?
        };
        let lease = Lease::granted(&self.request, grant.token, grant.granted_at);
        let lease = lease.with_expires_at(grant.expires_at);
        Some(self.turn_into_guard(lease, since, lasts, false))
    }

    fn turn_into_guard(
        &mut self,
        lease: Lease,
        since: Instant,
        lasts: Option<Duration>,
        is_claimed: bool,
    ) -> LockGuard {
        self.has_place = false;
        let outstanding = std::mem::take(&mut self.outstanding) > 0;
        let shared = Arc::clone(&self.tracker.shared);
        let guard = LockGuard::new(shared, lease, since, lasts, is_claimed)
            .with_head_start(self.request.head_start);
        let asked_at = self.asked_at.unwrap_or(guard.acquired_at());
        let wait = guard.acquired_at().saturating_duration_since(asked_at);
        self.shared().meters.waited(self.priority, wait);
        self.count(AcquireOutcome::Granted);
        catch_up(&self.entered, &guard);
        if outstanding { guard.with_answer_outstanding() } else { guard }
    }

    /// Counts the outcome of the request, once.
    pub(super) fn count(&mut self, outcome: AcquireOutcome) {
        if !std::mem::replace(&mut self.is_counted, true) {
            self.shared().meters.acquired(self.priority, outcome);
        }
    }

    /// Counts the outcome of an attempt.
    pub(super) fn count_attempt(&mut self, attempt: &Result<Attempt>) {
        match attempt {
            Ok(Attempt::Acquired(_)) => {}
            Ok(Attempt::Held(_)) => self.count(AcquireOutcome::Held),
            Err(error) => self.count(AcquireOutcome::of(error)),
        }
    }

    /// Logs that the request is the victim of a deadlock.
    pub(super) fn report(&self, deadlock: &Deadlock) {
        let AcquireRequest { key, owner, .. } = &self.request;
        tracing::warn!(lock.key = %key, lock.owner = %owner, %deadlock, "a request was the victim of a deadlock");
    }

    /// Leaves the request to whoever asks next with its identity.
    pub(super) const fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Gives the place back after all: the request has no use for it.
    pub(super) const fn unkeep(&mut self) {
        self.is_kept = false;
    }

    /// Returns `true` if the store may have granted the request, or may still.
    pub(super) const fn may_hold(&self) -> bool {
        self.has_place || self.outstanding > 0
    }

    /// Leaves the place in the queue to the others of the same request.
    pub(super) const fn leave_place(&mut self) {
        self.has_place = false;
    }

    /// Notes that the request has no place in a queue.
    pub(super) fn forget_place(&mut self) {
        self.has_place = false;
        self.entered.forget_place();
    }

    /// Error for a lease that cannot be upgraded, since it is over.
    pub(super) fn nothing_to_upgrade(&self) -> Error {
        let error = Error::new(ErrorKind::NotHeld, Operation::Acquire);
        error.with_key(self.request.key.clone()).with_loss(LossReason::NotHeld)
    }

    /// Error for an upgrade beside another, which holds the key and waits for the same.
    pub(super) fn second_upgrade(&self, answered: ClockBound, position: QueuePosition) -> Error {
        let cause = "another holder waits to upgrade its lease as well, and neither would give way";
        let error = Error::new(ErrorKind::Deadlock, Operation::Acquire).with_source(cause);
        let error = error.with_key(self.request.key.clone());
        error.with_position(Timed::new(answered.observed_at, position))
    }

    /// Error for an unexpected answer.
    pub(super) fn corrupt(&self, cause: impl Into<String>) -> Error {
        Error::new(ErrorKind::Corrupt, Operation::Acquire)
            .with_key(self.request.key.clone())
            .with_source(cause.into())
            .unknown()
    }

    fn keep_alive(&self) -> Duration {
        match self.request.on_held {
            OnHeld::Queue { keep_alive, .. } => keep_alive.span(),
            OnHeld::Refuse => Duration::ZERO,
        }
    }
}

/// Passes an early notice to the new guard.
pub(super) fn catch_up(entered: &Registration, guard: &LockGuard) {
    match entered.told(guard.token()) {
        EarlyNotice::Ended(end) => guard.lose(LossReason::Ended(end)),
        EarlyNotice::Perhaps => guard.renew_soon(),
        EarlyNotice::Nothing => {}
    }
}

/// An answer, with the clock bound of its lease.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) answered: ClockBound,
    pub(super) value: Acquisition,
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        self.count(AcquireOutcome::Dropped);
        if self.has_joined {
            self.shared().meters.waiting.decrement(1);
        }
        let answer_outstanding =
            self.outstanding > 0 && !planted::has(ManagerFault::ForgetsUnanswered);
        if self.is_kept || (!self.has_place && !answer_outstanding) {
            return;
        }
        // It may wait for its keep-alive, and hold for the claim window after that, or hold now.
        let longest = self.request.ttl.span().map(|ttl| ttl.max(self.keep_alive() * 2));
        let cancel = CancelRequest::new(self.request.key.clone(), self.request.id);
        let command = ReleaseCommand::Request(cancel.with_answer_outstanding(answer_outstanding));
        let gone_by = longest.map(|longest| Instant::now() + longest);
        ReleaseJob::new(self.tracker.clone(), command, gone_by, self.request.session).leave();
    }
}
