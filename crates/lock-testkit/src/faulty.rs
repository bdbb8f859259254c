//! A store that fails on command, as networks and servers do.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, Error, ErrorKind,
    EventCursor, EventFilter, EventStream, EvictRequest, Eviction, Health, HearRequest, Heard,
    InspectQuery, Inspection, Lease, ListQuery, LockBackend, LockInspector, MailboxId,
    NoticeStream, Operation, Page, Release, ReleaseRequest, RenewRequest, Renewal, Result, Timed,
    Transfer, TransferRequest, Waiter, WaitsQuery,
};

/// How a command fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It certainly does not happen, and the caller is told so at once.
    Refused,
    /// It happens, but the answer is lost: the caller is told that it is unknown.
    AnswerLost,
    /// It happens, and the answer never comes.
    AnswerHangs,
    /// It does not happen, and no answer comes either.
    Hangs,
    /// It does not happen, and the store panics.
    Panics,
    /// It happens after this time.
    Delayed(Duration),
    /// It happens at once, and the answer takes this time.
    AnswerDelayed(Duration),
}

/// A store around a store, whose commands fail as told, and are counted.
///
/// Clones share the faults and the counts.
#[derive(Clone)]
pub struct Faulty<S> {
    store: S,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    faults: HashMap<Operation, Fault>,
    commands: HashMap<Operation, u64>,
}

impl<S> Faulty<S> {
    /// A store that does not fail yet.
    pub fn new(store: S) -> Self {
        Self { store, state: Arc::default() }
    }

    /// Makes every command of this kind fail so from now on.
    pub fn inject(&self, operation: Operation, fault: Fault) {
        self.state().faults.insert(operation, fault);
    }

    /// Ends all faults; what hangs goes on hanging.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// The number of commands of this kind that were sent; a batch is one.
    #[must_use]
    pub fn commands(&self, operation: Operation) -> u64 {
        self.state().commands.get(&operation).copied().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a command and does it as the present fault has it.
    #[expect(clippy::panic, reason = "a fault that was asked for")]
    async fn command<T>(
        &self,
        operation: Operation,
        command: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let fault = {
            let mut state = self.state();
            *state.commands.entry(operation).or_default() += 1;
            state.faults.get(&operation).copied()
        };
        match fault {
            None => command.await,
            Some(Fault::Refused) => Err(Error::new(ErrorKind::Unavailable, operation)),
            Some(Fault::AnswerLost) => {
                drop(command.await);
                Err(Error::new(ErrorKind::Unavailable, operation).unknown())
            }
            Some(Fault::AnswerHangs) => {
                drop(command.await);
                pending().await
            }
            Some(Fault::Hangs) => pending().await,
            Some(Fault::Panics) => panic!("a store that panics was asked for"),
            Some(Fault::Delayed(span)) => {
                tokio::time::sleep(span).await;
                command.await
            }
            Some(Fault::AnswerDelayed(span)) => {
                let answer = command.await;
                tokio::time::sleep(span).await;
                answer
            }
        }
    }
}

impl<S> Faulty<S> {
    /// Counts a batch and does it as the present fault has it: what fails fails for each.
    async fn batch<T>(
        &self,
        operation: Operation,
        len: usize,
        batch: impl Future<Output = Vec<Result<T>>>,
    ) -> Vec<Result<T>> {
        let answers = self.command(operation, async { Ok(batch.await) }).await;
        answers.unwrap_or_else(|failure| (0..len).map(|_| Err(failure.clone())).collect())
    }
}

impl<S: fmt::Debug> fmt::Debug for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("store", &self.store).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockBackend> LockBackend for Faulty<S> {
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        self.command(Operation::Listen, self.store.listen(mailbox)).await
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        self.command(Operation::Acquire, self.store.acquire(request)).await
    }

    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        self.batch(Operation::Hear, requests.len(), self.store.hear(requests)).await
    }

    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        self.batch(Operation::Renew, requests.len(), self.store.renew(requests)).await
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        self.command(Operation::Release, self.store.release(request)).await
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        self.command(Operation::Cancel, self.store.cancel(request)).await
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        self.command(Operation::Transfer, self.store.transfer(request)).await
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        self.command(Operation::Evict, self.store.evict(request)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockInspector> LockInspector for Faulty<S> {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        self.command(Operation::Inspect, self.store.inspect(query)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        self.command(Operation::List, self.store.list(query)).await
    }

    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        self.command(Operation::WaitsOf, self.store.waits_of(query)).await
    }

    async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        self.command(Operation::Watch, self.store.watch(filter, after)).await
    }

    async fn health(&self) -> Result<Health> {
        self.command(Operation::Health, self.store.health()).await
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}
