//! A store that fails on command, as networks and servers do.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, Error, ErrorKind,
    EventFilter, EventStream, EvictRequest, Eviction, Health, Inspection, ListQuery, LockBackend,
    LockInspector, LockKey, Operation, OwnerId, Page, Release, ReleaseRequest, RenewRequest,
    Renewal, Result, Transfer, TransferRequest, WaitRequest, Waiter, Wake,
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

    /// How many commands of this kind were sent.
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

impl<S: fmt::Debug> fmt::Debug for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("store", &self.store).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockBackend> LockBackend for Faulty<S> {
    async fn acquire(&self, asked: &AcquireRequest) -> Result<Acquisition> {
        self.command(Operation::Acquire, self.store.acquire(asked)).await
    }

    async fn wait(&self, awaited: &WaitRequest) -> Result<Wake> {
        self.command(Operation::Wait, self.store.wait(awaited)).await
    }

    async fn renew(&self, renewals: &[RenewRequest]) -> Vec<Result<Renewal>> {
        let batch = async { Ok(self.store.renew(renewals).await) };
        match self.command(Operation::Renew, batch).await {
            Ok(answers) => answers,
            Err(failure) => {
                let error = || {
                    let error = Error::new(failure.kind(), failure.operation());
                    if failure.is_unknown() { error.unknown() } else { error }
                };
                renewals.iter().map(|_| Err(error())).collect()
            }
        }
    }

    async fn release(&self, held: &ReleaseRequest) -> Result<Release> {
        self.command(Operation::Release, self.store.release(held)).await
    }

    async fn cancel(&self, asked: &CancelRequest) -> Result<Cancellation> {
        self.command(Operation::Cancel, self.store.cancel(asked)).await
    }

    async fn transfer(&self, given: &TransferRequest) -> Result<Transfer> {
        self.command(Operation::Transfer, self.store.transfer(given)).await
    }

    async fn evict(&self, eviction: &EvictRequest) -> Result<Eviction> {
        self.command(Operation::Evict, self.store.evict(eviction)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockInspector> LockInspector for Faulty<S> {
    async fn inspect(&self, key: &LockKey) -> Result<Inspection> {
        self.command(Operation::Inspect, self.store.inspect(key)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        self.command(Operation::List, self.store.list(query)).await
    }

    async fn waits_of(&self, owner: &OwnerId) -> Result<Vec<Waiter>> {
        self.command(Operation::WaitsOf, self.store.waits_of(owner)).await
    }

    async fn watch(&self, filter: &EventFilter) -> Result<EventStream> {
        self.command(Operation::Watch, self.store.watch(filter)).await
    }

    async fn health(&self) -> Result<Health> {
        self.command(Operation::Health, self.store.health()).await
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}
