//! The protocol of `lock-core` over the table of keys.

use std::sync::Arc;

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Clock, EvictRequest, Eviction,
    HearRequest, Heard, LockBackend, MailboxId, NoticeStream, Release, ReleaseAppeal,
    ReleaseRequest, ReleaseRequested, RenewRequest, Renewal, Result, Timed, TokioClock, Transfer,
    TransferRequest,
};

use crate::table::Table;

/// A lock store in the memory of this process.
///
/// Clones share the store; any number of managers may use it at once. Its memory is in proportion
/// to the keys with holders or waiters; tokens of removed keys keep increasing all the same.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// use lock_core::{AcquireRequest, Acquisition, LockBackend, LockKey, OwnerId, RequestId};
/// use lock_memory::MemoryBackend;
///
/// let store = MemoryBackend::new();
/// let key = LockKey::parse("acme/infra/prod").expect("a valid key");
/// let request = |owner| {
///     let owner = OwnerId::parse(owner).expect("a valid owner");
///     AcquireRequest::new(RequestId::random(), key.clone(), owner)
/// };
/// let alice = store.acquire(&request("alice")).await?;
/// assert!(matches!(alice.value, Acquisition::Granted(_)));
/// let bob = store.acquire(&request("bob")).await?;
/// assert!(matches!(bob.value, Acquisition::Held(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MemoryBackend {
    pub(crate) table: Arc<Table>,
}

impl MemoryBackend {
    /// An empty store, on tokio's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(TokioClock::new())
    }

    /// An empty store on another clock.
    #[must_use]
    pub fn with_clock(clock: impl Clock) -> Self {
        Self { table: Arc::new(Table::new(Arc::new(clock))) }
    }

    /// The number of keys with holders or waiters, and of those whose leases expired and that were
    /// not swept since: at most about as many as were alive at once.
    #[must_use]
    pub fn keys_in_memory(&self) -> usize {
        self.table.len()
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockBackend for MemoryBackend {
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        Ok(Box::pin(self.table.mailboxes.open(mailbox)))
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        let metadata_bytes = request.metadata.bytes();
        Ok(self.table.run(&request.key, metadata_bytes, |state, step| state.acquire(step, request)))
    }

    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        let hear = |request: &HearRequest| {
            Ok(self.table.run_known(&request.key, |state, step| state.hear(step, request)))
        };
        requests.iter().map(hear).collect()
    }

    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        let renew = |request: &RenewRequest| {
            let key = &request.lease.key;
            Ok(self.table.run_known(key, |state, step| state.renew(step, request)))
        };
        requests.iter().map(renew).collect()
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        let key = &request.lease.key;
        Ok(self.table.run_known(key, |state, step| state.release(step, request)))
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        // It may leave a mark where nothing is.
        Ok(self.table.run(&request.key, 0, |state, step| state.cancel(step, request)))
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        let key = &request.lease.key;
        Ok(self.table.run_known(key, |state, step| state.transfer(step, request)))
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        Ok(self.table.run_known(&request.key, |state, step| state.evict(step, request)))
    }

    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        Ok(self.table.run_known(&appeal.key, |state, step| state.request_release(step, appeal)))
    }
}
