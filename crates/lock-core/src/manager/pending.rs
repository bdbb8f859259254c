//! A request that was sent and is not granted yet: whatever becomes of the future that waits for
//! it, the store is told when it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::bounded::bounded;
use super::departure::Departure;
use super::evidence::Evidence;
use super::{LockGuard, Shared, Stay};
use crate::{
    AcquireRequest, Acquisition, CancelRequest, Error, ErrorKind, Lease, LockKey, OnHeld,
    Operation, Place, Renewal, Result, WaitRequest, Wake,
};

/// A request that was sent and is not granted yet.
///
/// Dropped, it is cancelled in the background, also when the answer never came.
pub(super) struct Pending {
    asked: AcquireRequest,
    stay: Stay,
    evidence: Evidence,
    /// Whether the request may have been sent before this process knew of it.
    is_resumed: bool,
}

impl Pending {
    pub(super) fn new(
        shared: &Arc<Shared>,
        asked: AcquireRequest,
        is_resumed: bool,
    ) -> Result<Self> {
        let stay = Stay::enter(shared, Operation::Acquire)
            .map_err(|error| error.with_key(asked.key.clone()))?;
        Ok(Self { asked, stay, evidence: Evidence::default(), is_resumed })
    }

    pub(super) const fn key(&self) -> &LockKey {
        &self.asked.key
    }

    /// The manager that the request is of.
    pub(super) fn shared(&self) -> &Shared {
        &self.stay.shared
    }

    /// Sends the request, again if it was sent before, and waits for the answer for `limit`.
    pub(super) async fn ask(&mut self, limit: Duration) -> Result<Acquisition> {
        let sent = Instant::now();
        self.evidence.send(sent);
        let call = self.stay.shared.store.acquire(&self.asked);
        let answer = bounded(limit, Operation::Acquire, Some(&self.asked.key), call).await;
        match &answer {
            Ok(Acquisition::Queued(place)) => self.evidence.queue(sent, place),
            Err(error) if !error.is_unknown() => self.evidence.refuse(sent),
            _ => {}
        }
        answer
    }

    /// Waits for news of the request for `patience`, and for the answer for `limit` more.
    pub(super) async fn wait(&self, patience: Duration, limit: Duration) -> Result<Wake> {
        let awaited = WaitRequest::new(self.asked.key.clone(), self.asked.request, patience);
        let call = self.stay.shared.store.wait(&awaited);
        let limit = patience.saturating_add(limit);
        bounded(limit, Operation::Wait, Some(&self.asked.key), call).await
    }

    /// How much is left of the place in the queue that the store told of last.
    pub(super) fn place_lasts(&self) -> Duration {
        self.evidence.place_lasts(self.keep_alive(), Instant::now())
    }

    /// The guard of a lease that came as an answer, unless the request was
    /// [resumed](Self::resumed_guard).
    pub(super) fn guard(&mut self, lease: Lease) -> Result<LockGuard, Lease> {
        if self.is_resumed {
            return Err(lease);
        }
        let (since, span) = (self.evidence.since_of_answer(), lease.ttl.span());
        Ok(self.turn_into_guard(lease, since, span))
    }

    /// The guard of a lease that may have been granted before this process asked, and may be nearly
    /// over. Nothing in the answer tells, so it is renewed, which does.
    pub(super) async fn resumed_guard(&mut self, lease: Lease) -> Result<LockGuard> {
        let since = Instant::now();
        match self.stay.shared.renew(Operation::Acquire, &lease).await? {
            Renewal::Renewed(lease) => {
                let span = lease.ttl.span();
                Ok(self.turn_into_guard(lease, since, span))
            }
            Renewal::NotHeld => {
                self.forget();
                let error = Error::new(ErrorKind::NotHeld, Operation::Acquire);
                Err(error.with_key(self.asked.key.clone()))
            }
        }
    }

    /// The guard of a lease that came as news, if that can be trusted.
    pub(super) fn trusted_guard(&mut self, lease: Lease) -> Option<LockGuard> {
        if self.is_resumed {
            return None;
        }
        let now = Instant::now();
        let (since, window) = self.evidence.since_of_news(&lease, self.keep_alive(), now)?;
        Some(self.turn_into_guard(lease, since, Some(window)))
    }

    fn turn_into_guard(
        &mut self,
        lease: Lease,
        since: Instant,
        span: Option<Duration>,
    ) -> LockGuard {
        self.forget();
        LockGuard::new(self.stay.clone(), lease, since, span)
    }

    /// Notes that there is nothing to cancel.
    pub(super) fn forget(&mut self) {
        self.evidence.forget();
    }

    /// The error of a request that found the queue full.
    pub(super) fn refused(&mut self, place: Place) -> Error {
        self.forget();
        let error = Error::new(ErrorKind::QueueFull, Operation::Acquire);
        error.with_key(self.asked.key.clone()).with_place(place)
    }

    /// The error of an answer that was not asked for.
    pub(super) fn nonsense(&self, answer: &Acquisition) -> Error {
        Error::new(ErrorKind::Corrupt, Operation::Acquire)
            .with_key(self.asked.key.clone())
            .with_source(format!("an answer that was not asked for: {answer:?}"))
            .unknown()
    }

    fn keep_alive(&self) -> Duration {
        match self.asked.on_held {
            OnHeld::Queue { keep_alive, .. } => keep_alive.span(),
            OnHeld::Refuse => Duration::ZERO,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.evidence.is_anything() {
            return;
        }
        // It may wait for its keep-alive, and hold for the claim window after that, or hold now.
        let longest = self.asked.ttl.span().map(|ttl| ttl.max(self.keep_alive() * 2));
        Departure {
            stay: self.stay.clone(),
            ended: CancelRequest::new(self.asked.key.clone(), self.asked.request),
            gone_by: longest.map(|longest| Instant::now() + longest),
            may_arrive_late: self.evidence.is_unanswered(),
        }
        .leave();
    }
}
