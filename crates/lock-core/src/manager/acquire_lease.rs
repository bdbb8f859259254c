//! Acquires for another program, whose place outlives the call.

use tracing::Instrument;

use super::LockManager;
use super::acquire::{Acquire, Wait};
use super::admin::not_held;
use super::bounded::one;
use crate::{Lease, LossReason, Operation, RenewRequest, Renewal, Result};

impl Acquire<Wait> {
    /// Acquires the key for another program and returns the lease, which nobody renews.
    ///
    /// A service that acquires for its clients uses this: a client that lost its connection asks again
    /// with the same [`request`](Self::request), perhaps at another instance of the service, and gets
    /// the lease or goes on at its place. So the request is cancelled only where it is the victim of a
    /// deadlock. It leaves the queue
    /// when nobody asks for the keep-alive, and a grant that nobody takes up is over with the claim
    /// window or the ttl.
    ///
    /// # Errors
    /// As [`LockManager::acquire`]; with [`ErrorKind::WaitOver`](crate::ErrorKind::WaitOver) the request keeps its place.
    /// [`ErrorKind::NotHeld`](crate::ErrorKind::NotHeld) when the lease was over before it was claimed.
    ///
    /// # Cancel safety
    /// If dropped, the request keeps its place or its lease, as above.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use lock_core::{ErrorKind, LockManager, OwnerId, RequestId};
    /// use lock_memory::MemoryBackend;
    ///
    /// let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("service")?);
    /// let held = manager.acquire("deploy").await?;
    ///
    /// let client = RequestId::random();
    /// let ask = || manager.acquire("deploy").request(client).owner("alice");
    /// let waited = ask().wait(Duration::from_millis(10)).lease().await;
    /// assert_eq!(waited.unwrap_err().kind(), ErrorKind::WaitOver);
    ///
    /// held.release().await?;
    /// // It was the next in the queue all the time.
    /// assert_eq!(ask().lease().await?.owner.as_str(), "alice");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lease(self) -> Result<Lease> {
        let manager = self.manager.clone();
        let (mut queue, span) = self.queue()?;
        queue.pending.keep();
        let guard = queue.until_granted().instrument(span.clone()).await?;
        span.record("lock.token", guard.token().get());
        manager.claim(guard.leave()).await
    }
}

impl LockManager {
    /// Gives a lease its full length, if it still has the claim window.
    async fn claim(&self, (lease, is_claimed): (Lease, bool)) -> Result<Lease> {
        if is_claimed {
            return Ok(lease);
        }
        let requests = [RenewRequest::new(lease.name(), lease.ttl)];
        let limit = self.shared.config.operation_timeout.span();
        let call = self.shared.store.renew(&requests);
        match one(limit, Operation::Acquire, &lease.key, call).await?.value {
            Renewal::Renewed { expires_at } => Ok(lease.with_expires_at(expires_at)),
            Renewal::Ended(end) => Err(not_held(&lease).with_loss(LossReason::Ended(end))),
            Renewal::NotHeld => Err(not_held(&lease)),
        }
    }
}
