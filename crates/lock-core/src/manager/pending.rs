//! A request that was sent and is not granted yet: whatever becomes of the future that waits for
//! it, the store is told when it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::bounded::bounded;
use super::departure::Departure;
use super::{LockGuard, Shared, Stay};
use crate::{
    AcquireRequest, Acquisition, CancelRequest, Error, ErrorKind, Lease, LockKey, OnHeld,
    Operation, Place, Result, WaitRequest, Wake,
};

/// A request that was sent and is not granted yet.
///
/// Dropped, it is cancelled in the background, also when the answer never came.
pub(super) struct Pending {
    asked: AcquireRequest,
    stay: Stay,
    /// When the first command was sent that was not answered yet.
    unanswered: Option<Instant>,
    /// When the last command was sent that was answered by a place in the queue: any grant came
    /// later.
    queued: Option<Instant>,
}

impl Pending {
    pub(super) fn new(shared: &Arc<Shared>, asked: AcquireRequest) -> Result<Self> {
        let stay = Stay::enter(shared, Operation::Acquire)
            .map_err(|error| error.with_key(asked.key.clone()))?;
        Ok(Self { asked, stay, unanswered: None, queued: None })
    }

    pub(super) const fn key(&self) -> &LockKey {
        &self.asked.key
    }

    /// Sends the request, again if it was sent before.
    pub(super) async fn ask(&mut self) -> Result<Acquisition> {
        let sent = Instant::now();
        self.unanswered.get_or_insert(sent);
        let shared = &self.stay.shared;
        let limit = shared.config.operation_timeout;
        let call = shared.store.acquire(&self.asked);
        let answer = bounded(limit, Operation::Acquire, Some(&self.asked.key), call).await;
        match &answer {
            Ok(Acquisition::Queued(_)) => {
                self.queued = Some(sent);
                self.unanswered = None;
            }
            // What certainly did not happen leaves nothing behind, unless an earlier try did.
            Err(error) if !error.is_unknown() && self.unanswered == Some(sent) => {
                self.unanswered = None;
            }
            _ => {}
        }
        answer
    }

    /// Waits for news of the request for at most `patience`.
    pub(super) async fn wait(&self, patience: Duration) -> Result<Wake> {
        let shared = &self.stay.shared;
        let awaited = WaitRequest::new(self.asked.key.clone(), self.asked.request, patience);
        let limit = patience + shared.config.operation_timeout;
        let call = shared.store.wait(&awaited);
        bounded(limit, Operation::Wait, Some(&self.asked.key), call).await
    }

    /// Whether the store still keeps the place in the queue that it told of last.
    pub(super) fn still_has_its_place(&self) -> bool {
        self.queued.is_some_and(|queued| queued.elapsed() < self.keep_alive())
    }

    /// The guard of a lease that came as an answer, which has its full length.
    ///
    /// The lease began when one of the commands arrived that were sent since the last answer; the
    /// first of them is the earliest that it can have been.
    pub(super) fn guard(&mut self, lease: Lease) -> LockGuard {
        let since = self.unanswered.unwrap_or_else(Instant::now);
        let span = lease.ttl.span();
        self.turn_into_guard(lease, since, span)
    }

    /// The guard of a lease that came as news, if it lasts long enough to start with.
    ///
    /// News may be late, and the lease lasts only the claim window. But it was granted after the
    /// command arrived that was last answered by a place in the queue, and so lasts the window from
    /// then on at the least. If half of that is over, it is better to ask again.
    pub(super) fn trusted_guard(&mut self, lease: Lease) -> Option<LockGuard> {
        let keep_alive = self.keep_alive();
        let window = lease.ttl.span().map_or(keep_alive, |ttl| ttl.min(keep_alive));
        let since = self.queued.filter(|queued| queued.elapsed() < window / 2)?;
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
        self.unanswered = None;
        self.queued = None;
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

    /// Ends the request now; when that fails, it is repeated in the background.
    pub(super) async fn cancel(&mut self) {
        let shared = &self.stay.shared;
        let limit = shared.config.operation_timeout;
        let ended = self.ended();
        let call = shared.store.cancel(&ended);
        if bounded(limit, Operation::Cancel, Some(&ended.key), call).await.is_ok() {
            self.forget();
        }
    }

    fn ended(&self) -> CancelRequest {
        CancelRequest::new(self.asked.key.clone(), self.asked.request)
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
        if self.unanswered.is_none() && self.queued.is_none() {
            return;
        }
        // It may hold or wait: it is over when both would be.
        let longest = self.asked.ttl.span().map(|ttl| ttl.max(self.keep_alive()));
        let gone_by = longest.map(|longest| Instant::now() + longest);
        Departure { stay: self.stay.clone(), ended: self.ended(), gone_by }.leave();
    }
}
