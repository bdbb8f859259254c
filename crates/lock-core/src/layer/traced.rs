//! Shows every command to a store as a span.

use async_trait::async_trait;
use tracing::{Instrument, Span, debug_span};

use crate::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, EventFilter,
    EventStream, EvictRequest, Eviction, Health, Inspection, ListQuery, LockBackend, LockInspector,
    LockKey, Operation, OwnerId, Page, Release, ReleaseRequest, RenewRequest, Renewal, Result,
    Transfer, TransferRequest, WaitRequest, Waiter, Wake,
};

/// A store whose every command is a span `lock.store` at the level debug, with the fields
/// `lock.operation` and, where there is one, `lock.key` and `lock.request`.
///
/// Metadata is never shown.
#[derive(Clone, Debug)]
pub struct Traced<S> {
    store: S,
}

impl<S> Traced<S> {
    /// Shows every command to `store`.
    pub const fn new(store: S) -> Self {
        Self { store }
    }
}

fn span(operation: Operation) -> Span {
    debug_span!("lock.store", lock.operation = %operation)
}

fn key_span(operation: Operation, key: &LockKey, request: impl std::fmt::Debug) -> Span {
    debug_span!("lock.store", lock.operation = %operation, lock.key = %key, lock.request = ?request)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockBackend> LockBackend for Traced<S> {
    async fn acquire(&self, asked: &AcquireRequest) -> Result<Acquisition> {
        let span = key_span(Operation::Acquire, &asked.key, asked.request);
        self.store.acquire(asked).instrument(span).await
    }

    async fn wait(&self, awaited: &WaitRequest) -> Result<Wake> {
        let span = key_span(Operation::Wait, &awaited.key, awaited.request);
        self.store.wait(awaited).instrument(span).await
    }

    async fn renew(&self, renewals: &[RenewRequest]) -> Vec<Result<Renewal>> {
        let span = debug_span!(
            "lock.store",
            lock.operation = %Operation::Renew,
            lock.count = renewals.len(),
        );
        self.store.renew(renewals).instrument(span).await
    }

    async fn release(&self, held: &ReleaseRequest) -> Result<Release> {
        let span = key_span(Operation::Release, &held.key, held.request);
        self.store.release(held).instrument(span).await
    }

    async fn cancel(&self, asked: &CancelRequest) -> Result<Cancellation> {
        let span = key_span(Operation::Cancel, &asked.key, asked.request);
        self.store.cancel(asked).instrument(span).await
    }

    async fn transfer(&self, given: &TransferRequest) -> Result<Transfer> {
        let span = key_span(Operation::Transfer, &given.key, given.request);
        self.store.transfer(given).instrument(span).await
    }

    async fn evict(&self, eviction: &EvictRequest) -> Result<Eviction> {
        let span = key_span(Operation::Evict, &eviction.key, eviction.request);
        self.store.evict(eviction).instrument(span).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockInspector> LockInspector for Traced<S> {
    async fn inspect(&self, key: &LockKey) -> Result<Inspection> {
        let span = debug_span!("lock.store", lock.operation = %Operation::Inspect, lock.key = %key);
        self.store.inspect(key).instrument(span).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        self.store.list(query).instrument(span(Operation::List)).await
    }

    async fn waits_of(&self, owner: &OwnerId) -> Result<Vec<Waiter>> {
        self.store.waits_of(owner).instrument(span(Operation::WaitsOf)).await
    }

    async fn watch(&self, filter: &EventFilter) -> Result<EventStream> {
        self.store.watch(filter).instrument(span(Operation::Watch)).await
    }

    async fn health(&self) -> Result<Health> {
        self.store.health().instrument(span(Operation::Health)).await
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}
