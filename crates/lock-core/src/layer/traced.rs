//! Shows every command to a store as a span.

use async_trait::async_trait;
use tracing::{Instrument, Span, debug_span};

use crate::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, EventCursor,
    EventFilter, EventStream, EvictRequest, Eviction, Health, HearRequest, Heard, InspectQuery,
    Inspection, Lease, ListQuery, LockBackend, LockInspector, LockKey, MailboxId, NoticeStream,
    Operation, Page, Release, ReleaseAppeal, ReleaseRequest, ReleaseRequested, RenewRequest,
    Renewal, RequestId, Result, Timed, Transfer, TransferRequest, Waiter, WaitsQuery,
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

fn batch_span(operation: Operation, count: usize) -> Span {
    debug_span!("lock.store", lock.operation = %operation, lock.count = count)
}

fn key_span(operation: Operation, key: &LockKey) -> Span {
    debug_span!("lock.store", lock.operation = %operation, lock.key = %key)
}

fn request_span(operation: Operation, key: &LockKey, request: RequestId) -> Span {
    debug_span!("lock.store", lock.operation = %operation, lock.key = %key, lock.request = %request)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockBackend> LockBackend for Traced<S> {
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        self.store.listen(mailbox).instrument(span(Operation::Listen)).await
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        let span = request_span(Operation::Acquire, &request.key, request.id);
        self.store.acquire(request).instrument(span).await
    }

    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        let span = batch_span(Operation::Hear, requests.len());
        self.store.hear(requests).instrument(span).await
    }

    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        let span = batch_span(Operation::Renew, requests.len());
        self.store.renew(requests).instrument(span).await
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        let lease = &request.lease;
        let span = request_span(Operation::Release, &lease.key, lease.request);
        self.store.release(request).instrument(span).await
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        let span = request_span(Operation::Cancel, &request.key, request.request);
        self.store.cancel(request).instrument(span).await
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        let lease = &request.lease;
        let span = request_span(Operation::Transfer, &lease.key, lease.request);
        self.store.transfer(request).instrument(span).await
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        let span = key_span(Operation::Evict, &request.key);
        self.store.evict(request).instrument(span).await
    }

    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        let span = key_span(Operation::RequestRelease, &appeal.key);
        self.store.request_release(appeal).instrument(span).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockInspector> LockInspector for Traced<S> {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        let span = key_span(Operation::Inspect, &query.key);
        self.store.inspect(query).instrument(span).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        self.store.list(query).instrument(span(Operation::List)).await
    }

    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        self.store.waits_of(query).instrument(span(Operation::WaitsOf)).await
    }

    async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        self.store.watch(filter, after).instrument(span(Operation::Watch)).await
    }

    async fn health(&self) -> Result<Health> {
        self.store.health().instrument(span(Operation::Health)).await
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}
