//! A held lock.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use super::bounded::bounded;
use super::lease_validity::{LeaseValidity, deadline};
use super::reentry::{Reentry, SharedLease};
use super::releaser::{ReleaseCommand, ReleaseJob};
use super::renewal::RenewedOnce;
use super::sessions::Counted;
use super::{Shared, TrackerToken};
use crate::{
    CancelRequest, Error, ErrorKind, FencingToken, HeadStart, Lease, LockKey, LossReason,
    Operation, Priority, Release, ReleaseRequest, Result, Timestamp,
};

/// A held lock.
///
/// While its lease lasts, the key is granted only to requests that can share it;
/// [`lost`](Self::lost) completes when it ends. The lease is renewed in the background.
///
/// A guard is not a proof: a paused process may resume with a guard whose lease is over. Pass the
/// [`token`](Self::token) to the protected resource.
///
/// Dropping it releases the lease in the background; [`release`](Self::release) waits for that and
/// reports a lease that did not last.
#[must_use = "if unused the lock is released at once"]
#[clippy::has_significant_drop]
pub struct LockGuard {
    pub(super) validity: Arc<LeaseValidity>,
    shared: Arc<Shared>,
    acquired_at: Instant,
    /// `true` if there is a lease to release.
    is_held: bool,
    /// `true` if an acquire of the request may still arrive.
    pub(super) answer_outstanding: bool,
    /// Head start of its request.
    head_start: HeadStart,
    /// What it shares with other guards of its session. Boxed, as what follows, since guards are moved
    /// often and few have it.
    reentry: Option<Box<Reentry>>,
    /// Among what its session holds.
    _counted: Option<Counted>,
    /// Among what its session releases, from before it leaves the other guards of the lease.
    departing: Option<Box<Counted>>,
}

impl LockGuard {
    /// A guard of a lease that lasts `span` from `since` on, by this process's clock.
    pub(super) fn new(
        shared: Arc<Shared>,
        lease: Lease,
        since: Instant,
        span: Option<Duration>,
        is_claimed: bool,
    ) -> Self {
        let deadline = span.map(|span| deadline(since, span));
        let meters = Arc::clone(&shared.meters);
        let counted = shared.sessions.hold(&lease);
        let validity = Arc::new(LeaseValidity::new(lease, meters, deadline, is_claimed));
        shared.renewals.insert(Arc::clone(&validity), since, span);
        shared.meters.holds();
        Self::of(shared, validity, counted)
    }

    fn of(shared: Arc<Shared>, validity: Arc<LeaseValidity>, counted: Option<Counted>) -> Self {
        let head_start = Priority::default().head_start(shared.config.ageing_step);
        Self {
            validity,
            shared,
            acquired_at: Instant::now(),
            is_held: true,
            answer_outstanding: false,
            head_start,
            reentry: None,
            _counted: counted,
            departing: None,
        }
    }

    /// Another guard of a lease that its session shares.
    pub(super) fn again(shared: Arc<Shared>, lease: SharedLease, reentry: Box<Reentry>) -> Self {
        let counted = shared.sessions.hold(lease.validity.lease());
        shared.meters.holds();
        let mut guard = Self::of(shared, lease.validity, counted);
        guard.answer_outstanding = lease.answer_outstanding;
        guard.reentry = Some(reentry);
        guard
    }

    /// The same guard, whose lease other guards of its session may share.
    pub(super) fn offered(mut self, mut reentry: Box<Reentry>) -> Self {
        let validity = Arc::clone(&self.validity);
        let answer_outstanding = self.answer_outstanding;
        reentry.offer(SharedLease { validity, answer_outstanding });
        self.reentry = Some(reentry);
        self
    }

    /// The same guard, of a request with this head start.
    pub(super) const fn with_head_start(mut self, head_start: HeadStart) -> Self {
        self.head_start = head_start;
        self
    }

    /// Fails if other guards share the lease, and else keeps it from being shared.
    pub(super) fn unshare(&mut self, operation: Operation) -> Result<()> {
        match &mut self.reentry {
            Some(reentry) => reentry.unshare(&self.validity, operation),
            None => Ok(()),
        }
    }

    /// Shares the lease as before, since its guard stays.
    pub(super) fn share_again(&mut self) {
        let Self { validity, answer_outstanding, reentry: Some(reentry), .. } = self else {
            return;
        };
        let (validity, answer_outstanding) = (Arc::clone(validity), *answer_outstanding);
        reentry.offer_again(SharedLease { validity, answer_outstanding });
    }

    /// Leaves what the lease shared to another guard.
    pub(super) const fn take_reentry(&mut self) -> Option<Box<Reentry>> {
        self.reentry.take()
    }

    /// Drops the guard, whose lease ended with the grant of another of its holder.
    pub(super) fn give_way(self) {
        // A late acquire of its request is refused by the cancel that the drop sends.
        if !self.answer_outstanding {
            self.leave();
        }
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) const fn head_start(&self) -> HeadStart {
        self.head_start
    }

    /// The same guard, of a request that was sent more than once, and may arrive again.
    pub(super) const fn with_answer_outstanding(mut self) -> Self {
        self.answer_outstanding = true;
        self
    }

    /// Notes that the lease is lost.
    pub(super) fn lose(&self, reason: LossReason) {
        self.validity.lose(reason);
    }

    /// Has the lease renewed in the background now.
    pub(super) fn renew_soon(&self) {
        self.shared.renewals.renew_soon(&self.lease().name());
    }

    /// The key that is held.
    #[must_use]
    pub fn key(&self) -> &LockKey {
        &self.lease().key
    }

    /// The fencing token, for the protected resource.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.lease().token
    }

    /// The lease as it was granted: its end is not moved by renewals.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        self.validity.lease()
    }

    /// When the guard was created.
    pub(super) const fn acquired_at(&self) -> Instant {
        self.acquired_at
    }

    /// Until when the lease lasts for certain unless renewed, by this process's clock; `None` is
    /// until it is released.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.validity.deadline()
    }

    /// Returns `true` if the lease is known to be lost. `false` is only a hint: the lease may be
    /// over when the call returns.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.validity.lost(Instant::now()).is_some()
    }

    /// Waits until the lease is lost, and returns the reason.
    ///
    /// It completes before the store grants the key to another request. After an eviction, it
    /// completes as soon as the store reports it.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn lost(&self) -> LossReason {
        self.validity.until_lost().await
    }

    /// Does the work as long as the lease lasts: the moment it is lost, the work is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`], with the [reason](Error::loss), when the lease was lost before the work
    /// was done.
    ///
    /// # Cancel safety
    /// Dropped, it drops the work; the guard still holds.
    pub async fn run<W: Future>(&self, work: W) -> Result<W::Output> {
        tokio::select! {
            biased;
            reason = self.lost() => {
                let error = Error::new(ErrorKind::Lost, Operation::Run);
                Err(error.with_key(self.lease().key.clone()).with_loss(reason))
            }
            done = work => Ok(done),
        }
    }

    /// Renews the lease now, and waits for that.
    ///
    /// The manager renews leases in the background; use this before work that must not be
    /// interrupted.
    ///
    /// # Errors
    /// [`ErrorKind::NotHeld`], with the [reason](Error::loss), when the lease is over.
    /// [`ErrorKind::Unavailable`] when the store did not answer: the guard still holds until its
    /// [deadline](Self::deadline).
    ///
    /// # Cancel safety
    /// The lease may have been renewed.
    pub async fn renew_now(&self) -> Result<()> {
        let span = tracing::info_span!(
            "lock.renew",
            lock.key = %self.lease().key,
            lock.owner = %self.lease().owner,
            lock.token = self.lease().token.get(),
        );
        self.claim().instrument(span).await.map(drop)
    }

    /// Renews the lease and returns its expiry by the store's clock.
    pub(super) async fn claim(&self) -> Result<Option<Timestamp>> {
        let renewed = self.shared.renewals.renew(&self.lease().name(), self.lease().ttl).await?;
        match (renewed, self.validity.lost(Instant::now())) {
            (RenewedOnce::Until(expires_at), None) => Ok(expires_at),
            // A lost lease stays lost, whatever the store still has.
            (_, Some(reason)) | (RenewedOnce::Lost(reason), None) => {
                Err(self.not_held(Operation::Renew).with_loss(reason))
            }
        }
    }

    /// Releases the lease; one that other guards of the session [share](super::Acquire::reentrant) is
    /// released with the last of them.
    ///
    /// `Ok` means that the lease lasted until its release, even if it had already passed its local
    /// deadline.
    ///
    /// # Errors
    /// [`ErrorKind::NotHeld`], with the [reason](Error::loss) if one is known, when the lease was
    /// over before. [`ErrorKind::Unavailable`] when the store did not answer: the manager retries
    /// in the background.
    ///
    /// # Cancel safety
    /// If dropped, the lease is released in the background.
    pub async fn release(mut self) -> Result<()> {
        let span = tracing::info_span!(
            "lock.release",
            lock.key = %self.lease().key,
            lock.owner = %self.lease().owner,
            lock.token = self.lease().token.get(),
        );
        self.tell_release().instrument(span).await
    }

    async fn tell_release(&mut self) -> Result<()> {
        let shared = &self.shared;
        // Counted before the guard no longer is, until it is released or handed to the background.
        let _tracker = TrackerToken::new(shared);
        self.departing = shared.sessions.depart_with(self.validity.lease()).map(Box::new);
        if self.reentry.as_mut().is_some_and(|reentry| !reentry.leave(&self.validity)) {
            // The other guards of the session hold on.
            self.is_held = false;
            let is_lost = self.validity.lost(Instant::now()).is_some();
            return if is_lost { Err(self.not_held(Operation::Release)) } else { Ok(()) };
        }
        self.reentry = None;
        self.is_held = shared.renewals.remove(&self.lease().name(), &self.validity);
        if !self.is_held {
            return Err(self.not_held(Operation::Release));
        }
        let request = ReleaseRequest::new(self.lease().name());
        let limit = shared.config.operation_timeout.span();
        let call = shared.store.release(&request);
        // A failure leaves the guard whole, and its drop goes on in the background.
        let reply = bounded(limit, Operation::Release, Some(&self.lease().key), call).await?;
        // A command that may still arrive is refused by the cancel that the drop sends.
        self.is_held = self.answer_outstanding;
        match reply.value {
            Release::Released => Ok(()),
            Release::Ended(end) => {
                self.validity.lose(LossReason::Ended(end));
                Err(self.not_held(Operation::Release))
            }
            Release::NotHeld => Err(self.not_held(Operation::Release)),
        }
    }

    pub(super) fn not_held(&self, operation: Operation) -> Error {
        let error = Error::new(ErrorKind::NotHeld, operation);
        let error = error.with_key(self.lease().key.clone());
        match self.validity.lost(Instant::now()) {
            Some(reason) => error.with_loss(reason),
            None => error,
        }
    }

    /// Drops the guard without a command to the store, and returns the lease and whether it is claimed.
    pub(super) fn leave(mut self) -> (Lease, bool) {
        self.is_held = false;
        self.shared.renewals.remove(&self.lease().name(), &self.validity);
        (self.lease().clone(), self.validity.is_claimed())
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.shared.meters.held_for(self.acquired_at.elapsed());
        if !self.is_held {
            return;
        }
        if self.departing.is_none() {
            let departing = self.shared.sessions.depart_with(self.validity.lease());
            self.departing = departing.map(Box::new);
        }
        if self.reentry.as_mut().is_some_and(|reentry| !reentry.leave(&self.validity)) {
            return;
        }
        // Counted before the guard is not, so that a shutdown sees one of both.
        let tracker = TrackerToken::new(&self.shared);
        // A lease that another guard took charge of is not this one's to give back. A release that
        // failed has taken it out already.
        if !self.shared.renewals.remove(&self.lease().name(), &self.validity)
            && self.validity.lost(Instant::now()) == Some(LossReason::Adopted)
        {
            return;
        }
        let command = if self.answer_outstanding {
            let cancel = CancelRequest::new(self.lease().key.clone(), self.lease().request);
            ReleaseCommand::Request(cancel.with_answer_outstanding(true))
        } else {
            ReleaseCommand::Lease(ReleaseRequest::new(self.lease().name()))
        };
        let gone_by = self.lease().ttl.span().map(|span| Instant::now() + span);
        ReleaseJob::new(tracker, command, gone_by, self.lease().session).leave();
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").field("lease", &self.lease()).finish_non_exhaustive()
    }
}
