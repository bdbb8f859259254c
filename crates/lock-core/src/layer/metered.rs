//! Measures every command to a store.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use metrics::Histogram;
use tokio::time::Instant;

use crate::telemetry::{counter, histogram, names};
use crate::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, ErrorKind, EventCursor,
    EventFilter, EventStream, EvictRequest, Eviction, Health, HearRequest, Heard, InspectQuery,
    Inspection, Lease, ListQuery, LockBackend, LockInspector, MailboxId, NoticeStream, Operation,
    Page, Release, ReleaseAppeal, ReleaseRequest, ReleaseRequested, RenewRequest, Renewal, Result,
    Timed, Transfer, TransferRequest, Waiter, WaitsQuery,
};

/// A store whose every command is measured: `lock_store_seconds` by operation, and
/// `lock_store_errors_total` by operation and kind of error.
///
/// A command whose caller does not wait for the answer, after a time-out for example, is an error of
/// the kind `unanswered`. Of a batch each failed answer counts.
#[derive(Clone, Debug)]
pub struct Metered<S> {
    store: S,
    times: Times,
}

/// Handles of the histograms, by operation.
#[derive(Clone, Debug)]
struct Times([Histogram; OPERATIONS.len()]);

/// The commands, with their labels.
const OPERATIONS: [(Operation, &str); 14] = [
    (Operation::Listen, "listen"),
    (Operation::Acquire, "acquire"),
    (Operation::Hear, "hear"),
    (Operation::Renew, "renew"),
    (Operation::Release, "release"),
    (Operation::Cancel, "cancel"),
    (Operation::Transfer, "transfer"),
    (Operation::Evict, "evict"),
    (Operation::RequestRelease, "request_release"),
    (Operation::Inspect, "inspect"),
    (Operation::List, "list"),
    (Operation::WaitsOf, "waits_of"),
    (Operation::Watch, "watch"),
    (Operation::Health, "health"),
];

impl<S> Metered<S> {
    /// Measures every command to `store`.
    #[must_use]
    pub fn new(store: S) -> Self {
        let time = |(_, operation)| histogram(names::STORE, &[("operation", operation)]);
        Self { store, times: Times(OPERATIONS.map(time)) }
    }
}

impl Times {
    /// Measures one command with one answer.
    async fn one<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut call_meter = self.begin(operation);
        let answer = call.await;
        call_meter.answered(answer.as_ref().err().map(crate::Error::kind).into_iter());
        answer
    }

    /// Measures one command with many answers.
    async fn many<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Vec<Result<T>>>,
    ) -> Vec<Result<T>> {
        let mut call_meter = self.begin(operation);
        let answers = call.await;
        let failures = answers.iter().filter_map(|answer| answer.as_ref().err());
        call_meter.answered(failures.map(crate::Error::kind));
        answers
    }

    fn begin(&self, operation: Operation) -> CallMeter<'_> {
        let index = OPERATIONS.iter().position(|(known, _)| *known == operation).unwrap_or(0);
        let label = OPERATIONS[index].1;
        CallMeter { time: &self.0[index], label, sent: Instant::now(), is_answered: false }
    }
}

/// Measures one command; dropped before the answer, it counts it as unanswered.
struct CallMeter<'a> {
    time: &'a Histogram,
    label: &'static str,
    sent: Instant,
    is_answered: bool,
}

impl CallMeter<'_> {
    fn answered(&mut self, failures: impl Iterator<Item = ErrorKind>) {
        self.is_answered = true;
        let time: Duration = self.sent.elapsed();
        self.time.record(time);
        for kind in failures {
            self.failed(label(kind));
        }
    }

    fn failed(&self, kind: &'static str) {
        counter(names::STORE_ERRORS, &[("operation", self.label), ("kind", kind)]).increment(1);
    }
}

impl Drop for CallMeter<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.failed("unanswered");
        }
    }
}

/// The kind of an error as a label.
const fn label(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::InvalidInput => "invalid_input",
        ErrorKind::ShutDown => "shut_down",
        ErrorKind::QueueFull
        | ErrorKind::WaitOver
        | ErrorKind::Ended
        | ErrorKind::NotHeld
        | ErrorKind::Lost
        | ErrorKind::Deadlock
        | ErrorKind::Refused => "other",
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockBackend> LockBackend for Metered<S> {
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        self.times.one(Operation::Listen, self.store.listen(mailbox)).await
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        self.times.one(Operation::Acquire, self.store.acquire(request)).await
    }

    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        self.times.many(Operation::Hear, self.store.hear(requests)).await
    }

    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        self.times.many(Operation::Renew, self.store.renew(requests)).await
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        self.times.one(Operation::Release, self.store.release(request)).await
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        self.times.one(Operation::Cancel, self.store.cancel(request)).await
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        self.times.one(Operation::Transfer, self.store.transfer(request)).await
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        self.times.one(Operation::Evict, self.store.evict(request)).await
    }

    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        self.times.one(Operation::RequestRelease, self.store.request_release(appeal)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockInspector> LockInspector for Metered<S> {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        self.times.one(Operation::Inspect, self.store.inspect(query)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        self.times.one(Operation::List, self.store.list(query)).await
    }

    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        self.times.one(Operation::WaitsOf, self.store.waits_of(query)).await
    }

    async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        self.times.one(Operation::Watch, self.store.watch(filter, after)).await
    }

    async fn health(&self) -> Result<Health> {
        self.times.one(Operation::Health, self.store.health()).await
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}
