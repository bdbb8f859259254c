//! Upgrades: a shared lease becomes exclusive.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::Instrument;

use super::acquire::{Acquire, Wait};
use super::{GuardError, LockGuard, LockManager};
use crate::{Error, ErrorKind, LossReason, Mode, Operation, RequestId};

/// Builder of an upgrade; await it to send the request. See [`LockGuard::upgrade`].
#[must_use = "an upgrade does nothing until it is awaited"]
#[derive(Debug)]
pub struct Upgrade {
    guard: LockGuard,
    wait: Option<Duration>,
    request: Option<RequestId>,
}

impl LockGuard {
    /// Exchanges a shared lease for an exclusive one, with a higher token, as soon as it is the only
    /// lease of its key. It ranks before everybody who waits, so nobody holds the key exclusively in
    /// between.
    ///
    /// The shared lease is held and renewed meanwhile. If it expires, the upgrade keeps its place.
    ///
    /// # Errors
    /// Returned with the guard, which still holds unless the lease is over: [`ErrorKind::Deadlock`]
    /// when another holder waits to upgrade, since neither would give way: release this guard;
    /// [`ErrorKind::WaitOver`] when the [wait](Upgrade::wait) is over; [`ErrorKind::NotHeld`] when the
    /// lease is over, with the [reason](Error::loss); [`ErrorKind::Refused`] when other guards
    /// [share](Acquire::reentrant) it; other errors of an [acquire](LockManager::acquire).
    ///
    /// An upgrade that may have been granted before its error is cancelled first, which takes up to the
    /// [`operation_timeout`](crate::ManagerConfig::operation_timeout) twice. The guard is lost if the
    /// store had granted it, or does not say so in that time.
    ///
    /// # Cancel safety
    /// If dropped, the lease is released in the background.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use lock_core::{LockManager, Mode, OwnerId};
    /// # use lock_memory::MemoryBackend;
    /// let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("deploy-7")?);
    /// let reader = manager.acquire("acme/infra/prod").shared().await?;
    /// let token = reader.token();
    /// let writer = reader.upgrade().await?;
    /// assert_eq!(writer.lease().mode, Mode::Exclusive);
    /// assert!(writer.token() > token);
    /// # Ok(())
    /// # }
    /// ```
    pub const fn upgrade(self) -> Upgrade {
        Upgrade { guard: self, wait: None, request: None }
    }
}

impl Upgrade {
    /// Limits the wait; the default is no limit. Zero tries once.
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait: Some(wait), ..self }
    }

    /// Sets the identity of the request. See [`Acquire::request`].
    pub fn request(self, request: RequestId) -> Self {
        Self { request: Some(request), ..self }
    }

    fn asks(&self) -> Acquire<Wait> {
        let lease = self.guard.lease();
        let manager = LockManager { shared: Arc::clone(self.guard.shared()) };
        let asks = manager
            .acquire(lease.key.clone())
            .owner(lease.owner.clone())
            .ttl(lease.ttl)
            .metadata(lease.metadata.clone())
            .head_start(self.guard.head_start())
            .mode(Mode::Upgrade { request: lease.request, token: lease.token })
            .while_holding(&self.guard);
        let asks = asks.wait_at_most(self.wait);
        match self.request {
            Some(request) => asks.request(request),
            None => asks,
        }
    }
}

impl IntoFuture for Upgrade {
    type Output = Result<LockGuard, GuardError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            if let Err(error) = self.guard.unshare(Operation::Acquire) {
                return Err(GuardError { guard: self.guard, error });
            }
            self.guard.validity.give_way();
            let granted = tokio::select! {
                biased;
                granted = granted(self.asks()) => granted,
                reason = ended(&self.guard) => {
                    let error = Error::new(ErrorKind::NotHeld, Operation::Acquire);
                    let error = error.with_key(self.guard.key().clone()).with_loss(reason);
                    Err(Failed { error, is_in_doubt: false })
                }
            };
            match granted {
                Ok(exclusive) => {
                    let reentry = self.guard.take_reentry();
                    self.guard.give_way();
                    Ok(match reentry {
                        Some(reentry) => exclusive.offered(reentry),
                        None => exclusive,
                    })
                }
                Err(Failed { error, is_in_doubt }) => {
                    if is_in_doubt {
                        settle(&self.guard).await;
                    }
                    self.guard.validity.stay();
                    self.guard.share_again();
                    Err(GuardError { guard: self.guard, error })
                }
            }
        })
    }
}

/// An upgrade that failed.
struct Failed {
    error: Error,
    /// `true` if the store may have granted it, and so ended the shared lease.
    is_in_doubt: bool,
}

/// Sends the request, and waits for the exclusive lease.
async fn granted(asks: Acquire<Wait>) -> Result<LockGuard, Failed> {
    let failed = |error: Error, may_hold| {
        let is_over = matches!(error.kind(), ErrorKind::NotHeld | ErrorKind::Ended);
        let is_in_doubt = may_hold || is_over || error.is_unknown();
        Failed { error, is_in_doubt }
    };
    if asks.wait == Some(Duration::ZERO) {
        return asks.await.map_err(|error| failed(error, false));
    }
    let (mut queue, span) = asks.queue().map_err(|error| failed(error, false))?;
    match queue.until_granted().instrument(span.clone()).await {
        Ok(exclusive) => {
            span.record("lock.token", exclusive.token().get());
            Ok(exclusive)
        }
        Err(error) => Err(failed(error, queue.pending.may_hold())),
    }
}

/// Finds out whether the lease outlasted its upgrade, which was cancelled. A lease is lost of which the
/// store does not say so: the cancel may still end what took its place.
async fn settle(guard: &LockGuard) {
    let shared = guard.shared();
    let departed = shared.sessions.until_departed(guard.lease().session);
    let limit = shared.config.operation_timeout.span();
    if timeout(limit, departed).await.is_err() || guard.claim().await.is_err() {
        guard.lose(LossReason::NotHeld);
    }
}

/// Waits until somebody ends the lease. One that just expires is no reason to give up the place.
async fn ended(guard: &LockGuard) -> LossReason {
    match guard.lost().await {
        LossReason::NotHeld | LossReason::Overdue => std::future::pending().await,
        reason => reason,
    }
}
