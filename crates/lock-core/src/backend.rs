//! The protocol that a store speaks: one attempt a call, every outcome a value.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, EvictRequest, Eviction, Release,
    ReleaseRequest, RenewRequest, Renewal, Result, Transfer, TransferRequest, WaitRequest, Wake,
};

/// The protocol that a store speaks.
///
/// [`LockManager`](crate::LockManager) calls it, and every backend implements it, by running the
/// [`machine`](crate::machine) or by doing exactly what the machine does. One attempt a call:
/// waiting, repeating, renewing and time-outs of the whole belong to the manager.
///
/// An error is what nobody planned for, and says whether the operation certainly did not happen or
/// is unknown. After an unknown one the same call again is safe, because the request's identity
/// makes both one.
///
/// # Cancel safety
/// A call that is dropped before it ends may or may not have happened. Repeat it, or
/// [`cancel`](Self::cancel) the request.
///
/// # Contract
/// - Commands of one key take effect one after another, whoever sends them from wherever.
///   `exclusion::one_winner_among_many`
/// - Time is the store's: a clock that stands still or jumps back changes neither the order of
///   the queue nor that of the tokens. `clock::standing_clock_keeps_tokens_increasing`
///   `clock::standing_clock_keeps_arrival_order` `clock::jump_back_keeps_tokens_increasing`
///   `clock::jump_back_keeps_arrival_order`
#[async_trait]
pub trait LockBackend: Debug + Send + Sync + 'static {
    /// Asks for a key: grants it, queues the request or refuses it.
    ///
    /// # Errors
    /// When the store did not answer, or not sensibly.
    async fn acquire(&self, asked: &AcquireRequest) -> Result<Acquisition>;

    /// Returns when the queued request was granted by somebody else's command, or something else
    /// may have changed for it, or the time is up. A hint: it may return for no reason, and the
    /// passing of time (a lease that runs out) is the caller's to watch.
    ///
    /// # Errors
    /// When the store cannot be listened to.
    async fn wait(&self, awaited: &WaitRequest) -> Result<Wake>;

    /// Makes each lease last its ttl from now, and a lease in its claim window full length.
    ///
    /// Answers one for one, in the order given; what fails for one does not touch the others.
    async fn renew(&self, renewals: &[RenewRequest]) -> Vec<Result<Renewal>>;

    /// Ends a lease, and grants the key to the next in the queue in the same step.
    ///
    /// # Errors
    /// When the store did not answer, or not sensibly.
    async fn release(&self, held: &ReleaseRequest) -> Result<Release>;

    /// Ends a request: takes it out of the queue, or releases what it was granted.
    ///
    /// # Errors
    /// When the store did not answer, or not sensibly.
    async fn cancel(&self, asked: &CancelRequest) -> Result<Cancellation>;

    /// Hands a lease to somebody by name, with a token of its own.
    ///
    /// # Errors
    /// When the store did not answer, or not sensibly.
    async fn transfer(&self, given: &TransferRequest) -> Result<Transfer>;

    /// Takes leases away from their holders.
    ///
    /// # Errors
    /// When the store did not answer, or not sensibly.
    async fn evict(&self, eviction: &EvictRequest) -> Result<Eviction>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: LockBackend + ?Sized> LockBackend for Arc<B> {
    async fn acquire(&self, asked: &AcquireRequest) -> Result<Acquisition> {
        (**self).acquire(asked).await
    }
    async fn wait(&self, awaited: &WaitRequest) -> Result<Wake> {
        (**self).wait(awaited).await
    }
    async fn renew(&self, renewals: &[RenewRequest]) -> Vec<Result<Renewal>> {
        (**self).renew(renewals).await
    }
    async fn release(&self, held: &ReleaseRequest) -> Result<Release> {
        (**self).release(held).await
    }
    async fn cancel(&self, asked: &CancelRequest) -> Result<Cancellation> {
        (**self).cancel(asked).await
    }
    async fn transfer(&self, given: &TransferRequest) -> Result<Transfer> {
        (**self).transfer(given).await
    }
    async fn evict(&self, eviction: &EvictRequest) -> Result<Eviction> {
        (**self).evict(eviction).await
    }
}
