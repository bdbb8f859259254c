//! A held lock of a blocking manager.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::background::{Background, refuse_in_runtime};
use crate::manager::{GuardError as AsyncGuardError, LockGuard as AsyncGuard};
use crate::{
    FencingToken, Instant, Lease, LockKey, LossReason, Operation, Result, TransferTo, Wanted,
};

/// A held lock of a [blocking manager](super::LockManager), renewed by its thread.
///
/// A guard is not a proof: a paused process may resume with a guard whose lease is over. Pass the
/// [`token`](Self::token) to the protected resource.
///
/// Dropping it releases the lease in the background; [`release`](Self::release) waits for that and
/// reports a lease that did not last.
#[must_use = "if unused the lock is released at once"]
#[clippy::has_significant_drop]
pub struct LockGuard {
    // Dropped before the thread that releases it.
    guard: Box<AsyncGuard>,
    background: Arc<Background>,
}

/// Error of an operation that consumes a guard, with the guard.
pub type GuardError = AsyncGuardError<LockGuard>;

impl LockGuard {
    pub(super) fn new(guard: AsyncGuard, background: &Arc<Background>) -> Self {
        Self { guard: Box::new(guard), background: Arc::clone(background) }
    }

    /// The guard behind this one.
    pub(super) fn as_async(&self) -> &AsyncGuard {
        &self.guard
    }

    /// The key that is held.
    #[must_use]
    pub fn key(&self) -> &LockKey {
        self.guard.key()
    }

    /// The fencing token, for the protected resource.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.guard.token()
    }

    /// The lease as it was granted: its end is not moved by renewals.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        self.guard.lease()
    }

    /// Until when the lease lasts for certain unless renewed; `None` is until it is released.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.guard.deadline()
    }

    /// Returns `true` if the lease is known to be lost. `false` is only a hint: the lease may be
    /// over when the call returns.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.guard.is_lost()
    }

    /// Waits until the lease is lost, for at most `span`: `None` if it was not. For work that pauses
    /// between its steps, instead of a sleep.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) inside a tokio runtime.
    pub fn lost_within(&self, span: Duration) -> Result<Option<LossReason>> {
        let lost = async { Ok(tokio::time::timeout(span, self.guard.lost()).await.ok()) };
        self.background.block_on(Operation::Run, lost)
    }

    /// Renews the lease now. See [`crate::LockGuard::renew_now`].
    ///
    /// # Errors
    /// The same, and [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) inside a tokio
    /// runtime.
    pub fn renew_now(&self) -> Result<()> {
        self.background.block_on(Operation::Renew, self.guard.renew_now())
    }

    /// Transfers the lease by name, past the queue. See [`crate::LockGuard::transfer`].
    ///
    /// # Errors
    /// The same, with the guard, and [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported)
    /// inside a tokio runtime.
    pub fn transfer(self, to: TransferTo) -> Result<Lease, GuardError> {
        self.take(Operation::Transfer, async |guard| guard.transfer(to).await)
    }

    /// Detaches the lease, unreleased and no longer renewed. See [`crate::LockGuard::into_lease`].
    ///
    /// # Errors
    /// The same, with the guard, and [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported)
    /// inside a tokio runtime.
    pub fn into_lease(self) -> Result<Lease, GuardError> {
        self.take(Operation::Renew, async |guard| guard.into_lease().await)
    }

    /// Exchanges a shared lease for an exclusive one, for at most `wait`; `None` is no limit. See
    /// [`crate::LockGuard::upgrade`].
    ///
    /// # Errors
    /// The same, with the guard, and [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported)
    /// inside a tokio runtime.
    pub fn upgrade(self, wait: Option<Duration>) -> Result<Self, GuardError> {
        let background = Arc::clone(&self.background);
        let upgrade = async |guard: AsyncGuard| match wait {
            Some(wait) => guard.upgrade().wait(wait).await,
            None => guard.upgrade().await,
        };
        let guard = self.take(Operation::Acquire, upgrade)?;
        Ok(Self::new(guard, &background))
    }

    /// The last request of an operator to release the key, if its time is not over. See
    /// [`crate::LockGuard::release_requested`].
    #[must_use]
    pub fn release_requested(&self) -> Option<Wanted> {
        self.guard.release_requested()
    }

    /// Waits until somebody with better right wants the key, for at most `span`. See
    /// [`crate::LockGuard::wanted`].
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) inside a tokio runtime.
    pub fn wanted_within(&self, span: Duration) -> Result<Option<Wanted>> {
        let wanted = async { Ok(tokio::time::timeout(span, self.guard.wanted()).await.ok()) };
        self.background.block_on(Operation::Run, wanted)
    }

    fn take<T>(
        self,
        operation: Operation,
        call: impl AsyncFnOnce(AsyncGuard) -> Result<T, AsyncGuardError>,
    ) -> Result<T, GuardError> {
        if let Err(error) = refuse_in_runtime(operation) {
            return Err(GuardError { guard: self, error });
        }
        let Self { guard, background } = self;
        background.runtime().block_on(call(*guard)).map_err(|AsyncGuardError { guard, error }| {
            GuardError { guard: Self { guard: Box::new(guard), background }, error }
        })
    }

    /// Releases the lease, and waits for that.
    ///
    /// # Errors
    /// As [`crate::LockGuard::release`]. [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported)
    /// inside a tokio runtime: it is released in the background, as by a drop.
    pub fn release(self) -> Result<()> {
        let Self { guard, background } = self;
        background.block_on(Operation::Release, guard.release())
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.guard.fmt(f)
    }
}
