//! A held lock.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use super::bounded::bounded;
use super::departure::{Departing, Departure};
use super::hold::{Hold, LossReason, deadline};
use super::{Shared, Stay};
use crate::{
    CancelRequest, Error, ErrorKind, FencingToken, Lease, LockKey, Operation, Release,
    ReleaseRequest, Result,
};

/// A held lock.
///
/// As long as its lease lasts, nobody else is granted the key who may not share it;
/// [`lost`](Self::lost) tells when that ends. The lease is renewed in the background.
///
/// A guard is no proof: a process that was paused wakes with a guard whose lease is over. Pass the
/// [`token`](Self::token) along to what the lock protects.
///
/// Dropped, it gives the lease back in the background; [`release`](Self::release) waits for that
/// and tells whether the lease lasted to the end.
#[must_use = "if unused the lock is released at once"]
#[clippy::has_significant_drop]
pub struct LockGuard {
    lease: Lease,
    hold: Arc<Hold>,
    stay: Stay,
    /// Whether there is a lease to give back.
    is_held: bool,
    /// Whether an acquire of the request may still arrive.
    answer_outstanding: bool,
}

impl LockGuard {
    /// A guard of a lease that lasts `span` from `since` on, by this process's clock.
    pub(super) fn new(
        stay: Stay,
        lease: Lease,
        since: Instant,
        span: Option<Duration>,
        answer_outstanding: bool,
    ) -> Self {
        let hold = Arc::new(Hold::new(span.map(|span| deadline(since, span))));
        let Shared { renewals, mailbox, .. } = &*stay.shared;
        renewals.insert(&lease, mailbox.id, Arc::clone(&hold), since, span);
        Self { lease, hold, stay, is_held: true, answer_outstanding }
    }

    /// Notes that the lease is lost.
    pub(super) fn lose(&self, reason: LossReason) {
        self.hold.lose(reason);
    }

    /// The key that is held.
    #[must_use]
    pub fn key(&self) -> &LockKey {
        &self.lease.key
    }

    /// The fencing token, to pass along to what the lock protects.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.lease.token
    }

    /// The lease as it was granted: its end is not moved by renewals.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Until when the lease lasts for certain unless renewed, by this process's clock; `None` is
    /// until it is released.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.hold.deadline()
    }

    /// Whether the lease is known to be lost. `false` is a hint only: it may be over when the
    /// answer arrives.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.hold.lost(Instant::now()).is_some()
    }

    /// Waits until the lease is lost, and tells why.
    ///
    /// It ends before the store gives the key to another, unless that was by force: an eviction is
    /// told as soon as the store tells of it.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn lost(&self) -> LossReason {
        self.hold.until_lost().await
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
                Err(error.with_key(self.lease.key.clone()).with_loss(reason))
            }
            done = work => Ok(done),
        }
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// [`ErrorKind::NotHeld`], with the [reason](Error::loss) if one is known, when the lease was
    /// over before. When the store did not answer, the manager goes on telling it in the
    /// background.
    ///
    /// # Cancel safety
    /// Dropped, the lease is given back in the background.
    pub async fn release(mut self) -> Result<()> {
        let span = tracing::info_span!(
            "lock.release",
            lock.key = %self.lease.key,
            lock.owner = %self.lease.owner,
            lock.token = self.lease.token.get(),
        );
        self.release_now().instrument(span).await
    }

    async fn release_now(&mut self) -> Result<()> {
        let shared = &self.stay.shared;
        self.is_held = shared.renewals.remove(&self.lease.name(), &self.hold);
        if !self.is_held {
            return Err(self.not_held());
        }
        let request = ReleaseRequest::new(self.lease.name());
        let limit = shared.config.operation_timeout;
        let call = shared.store.release(&request);
        // A failure leaves the guard whole, and its drop goes on in the background.
        let reply = bounded(limit, Operation::Release, Some(&self.lease.key), call).await?;
        // A command that may still arrive is refused by the cancel that the drop sends.
        self.is_held = self.answer_outstanding;
        match reply.value {
            Release::Released => Ok(()),
            Release::Ended(end) => {
                self.hold.lose(LossReason::Ended(end));
                Err(self.not_held())
            }
            Release::NotHeld => Err(self.not_held()),
        }
    }

    fn not_held(&self) -> Error {
        let error = Error::new(ErrorKind::NotHeld, Operation::Release);
        let error = error.with_key(self.lease.key.clone());
        match self.hold.lost(Instant::now()) {
            Some(reason) => error.with_loss(reason),
            None => error,
        }
    }

    /// Takes the lease out, unreleased and no longer renewed, to hand it to somebody who
    /// [adopts](super::LockManager::adopt) it.
    #[must_use = "the lease is held until its ttl is over"]
    pub fn into_lease(mut self) -> Lease {
        self.is_held = false;
        self.stay.shared.renewals.remove(&self.lease.name(), &self.hold);
        self.lease.clone()
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if !self.is_held {
            return;
        }
        // A lease that another guard took charge of is not this one's to give back. A release that
        // failed has taken it out already.
        if !self.stay.shared.renewals.remove(&self.lease.name(), &self.hold)
            && self.hold.lost(Instant::now()) == Some(LossReason::Adopted)
        {
            return;
        }
        let departing = if self.answer_outstanding {
            let cancel = CancelRequest::new(self.lease.key.clone(), self.lease.request);
            Departing::Request(cancel.with_answer_outstanding(true))
        } else {
            Departing::Lease(ReleaseRequest::new(self.lease.name()))
        };
        let gone_by = self.lease.ttl.span().map(|span| Instant::now() + span);
        Departure { stay: self.stay.clone(), departing, gone_by }.leave();
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").field("lease", &self.lease).finish_non_exhaustive()
    }
}
