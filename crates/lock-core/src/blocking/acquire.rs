//! The builder of acquire requests that block.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::background::Background;
use super::guard::LockGuard;
use crate::manager::{Acquire as AsyncAcquire, Attempt as AsyncAttempt, Try, Wait};
use crate::{
    Error, ErrorKind, HeadStart, InvalidInput, KeepAlive, LossReason, Metadata, Mode, Operation,
    OwnerId, Priority, RequestId, Result, SessionId, Ttl,
};

/// Builder of a request for a key; [`send`](Acquire::send) blocks until it is granted or refused.
///
/// Its settings are those of [`crate::Acquire`].
#[must_use = "a request does nothing until it is sent"]
#[derive(Debug)]
pub struct Acquire<Patience> {
    request: AsyncAcquire<Patience>,
    background: Arc<Background>,
}

/// Outcome of [`LockManager::try_acquire`](super::LockManager::try_acquire).
pub type Attempt = AsyncAttempt<LockGuard>;

impl<P> Acquire<P> {
    pub(super) fn new(request: AsyncAcquire<P>, background: &Arc<Background>) -> Self {
        Self { request, background: Arc::clone(background) }
    }

    fn map(self, set: impl FnOnce(AsyncAcquire<P>) -> AsyncAcquire<P>) -> Self {
        Self { request: set(self.request), background: self.background }
    }

    /// Ranks by this priority in the queue.
    pub fn priority(self, priority: Priority) -> Self {
        self.map(|request| request.priority(priority))
    }

    /// Ranks this much earlier than its arrival, instead of by a priority.
    pub fn head_start<H>(self, head_start: H) -> Self
    where
        H: TryInto<HeadStart, Error: Into<InvalidInput>>,
    {
        self.map(|request| request.head_start(head_start))
    }

    /// Sets the ttl of the lease, which is renewed while the guard lives.
    pub fn ttl<T>(self, ttl: T) -> Self
    where
        T: TryInto<Ttl, Error: Into<InvalidInput>>,
    {
        self.map(|request| request.ttl(ttl))
    }

    /// Sets the mode; the default is exclusive.
    pub fn mode(self, mode: Mode) -> Self {
        self.map(|request| request.mode(mode))
    }

    /// Shares the key with any number of other readers.
    pub fn shared(self) -> Self {
        self.map(AsyncAcquire::shared)
    }

    /// Shares the key as one of a number of permits; all requests must name the same number.
    pub fn permits(self, permits: u32) -> Self {
        self.map(|request| request.permits(permits))
    }

    /// Acquires for this owner instead of the manager's.
    pub fn owner<O>(self, owner: O) -> Self
    where
        O: TryInto<OwnerId, Error: Into<InvalidInput>>,
    {
        self.map(|request| request.owner(owner))
    }

    /// Sets the session; by default the request has its own.
    pub fn session(self, session: SessionId) -> Self {
        self.map(|request| request.session(session))
    }

    /// Requests the key in the session of a guard that is held meanwhile.
    pub fn while_holding(self, guard: &LockGuard) -> Self {
        self.map(|request| request.while_holding(guard.as_async()))
    }

    /// Attaches `metadata` to the lease.
    pub fn metadata<M>(self, metadata: M) -> Self
    where
        M: TryInto<Metadata, Error: Into<InvalidInput>>,
    {
        self.map(|request| request.metadata(metadata))
    }

    /// Sets the identity of the request. See [`crate::Acquire::request`].
    pub fn request(self, request: RequestId) -> Self {
        self.map(|asks| asks.request(request))
    }
}

impl Acquire<Wait> {
    /// Limits the wait; the default is no limit. See [`crate::Acquire::wait`].
    pub fn wait(self, wait: Duration) -> Self {
        self.map(|request| request.wait(wait))
    }

    /// Is dropped from the queue when silent for this long. See [`crate::Acquire::keep_alive`].
    pub fn keep_alive<T>(self, keep_alive: T) -> Self
    where
        T: TryInto<KeepAlive, Error: Into<InvalidInput>>,
    {
        self.map(|request| request.keep_alive(keep_alive))
    }

    /// Joins no longer queue than this, itself included.
    pub fn queue_limit(self, limit: NonZeroU32) -> Self {
        self.map(|request| request.queue_limit(limit))
    }

    /// Shares the lease within the session. See [`crate::Acquire::reentrant`].
    pub fn reentrant(self) -> Self {
        self.map(AsyncAcquire::reentrant)
    }

    /// Blocks until the key is granted, or the wait is over.
    ///
    /// # Errors
    /// As [`crate::LockManager::acquire`], and [`ErrorKind::Unsupported`] inside a tokio runtime.
    pub fn send(self) -> Result<LockGuard> {
        let guard = self.background.block_on(Operation::Acquire, self.request.into_future())?;
        Ok(LockGuard::new(guard, &self.background))
    }

    /// Acquires the key, does the work under its lease, and releases the lease on every path before
    /// returning; after a panic of the work, in the background.
    ///
    /// The work is not interrupted when the lease is lost: see [the module](super).
    ///
    /// # Errors
    /// Errors of the acquire; [`ErrorKind::Lost`], with the [reason](Error::loss), when the lease
    /// was lost before the work was done, whose result is dropped then. An unanswered release is
    /// not an error: it is retried in the background.
    pub fn hold<T>(self, work: impl FnOnce(&LockGuard) -> T) -> Result<T> {
        let guard = self.send()?;
        let done = work(&guard);
        let key = guard.key().clone();
        match guard.release() {
            Ok(()) => Ok(done),
            Err(error) if error.is_retryable() => {
                tracing::warn!(lock.key = %key, %error, "the work is done, the release is not");
                Ok(done)
            }
            Err(error) if error.kind() == ErrorKind::NotHeld => {
                let lost = Error::new(ErrorKind::Lost, Operation::Run).with_key(key);
                Err(lost.with_loss(error.loss().cloned().unwrap_or(LossReason::NotHeld)))
            }
            Err(error) => Err(error),
        }
    }
}

impl Acquire<Try> {
    /// Blocks until the store has answered.
    ///
    /// # Errors
    /// As [`crate::LockManager::try_acquire`], and [`ErrorKind::Unsupported`] inside a tokio
    /// runtime.
    pub fn send(self) -> Result<Attempt> {
        let request = self.request.into_future();
        Ok(match self.background.block_on(Operation::Acquire, request)? {
            AsyncAttempt::Acquired(guard) => {
                Attempt::Acquired(LockGuard::new(guard, &self.background))
            }
            AsyncAttempt::Held(position) => Attempt::Held(position),
        })
    }
}
