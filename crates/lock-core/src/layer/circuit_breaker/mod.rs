//! Spares a store that fails: commands are answered at once until a probe is answered.

mod circuit;
mod config;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, Error, ErrorKind,
    EventCursor, EventFilter, EventStream, EvictRequest, Eviction, Health, HearRequest, Heard,
    InspectQuery, Inspection, Lease, ListQuery, LockBackend, LockInspector, LockKey, MailboxId,
    NoticeStream, Operation, Page, Release, ReleaseAppeal, ReleaseRequest, ReleaseRequested,
    RenewRequest, Renewal, Result, Timed, Transfer, TransferRequest, Waiter, WaitsQuery,
};
use circuit::{Circuit, Outcome, Pass};
pub use config::BreakerConfig;
pub use state::{CircuitOpen, CircuitState};

/// A store that is spared while it fails.
///
/// The circuit is closed at first, and every command passes. When the
/// [number of failures](BreakerConfig::failures) within the [window](BreakerConfig::window) is
/// reached, it opens: commands fail at once with [`ErrorKind::Unavailable`], certainly did not
/// happen, and have a [`CircuitOpen`] as source, with the time since it opened and the last failure
/// of the store. After a [pause](BreakerConfig::first_pause) it is half-open: the next command is
/// the probe, and passes alone. If the store answers the probe, the circuit closes; if not, it stays
/// open for twice the pause, up to the [longest](BreakerConfig::longest_pause).
///
/// # What is a failure
///
/// An [`ErrorKind::Unavailable`], its outcome unknown or not. Every other answer, expected outcomes
/// and other errors included, is an answer. Answers between failures do not reset the count. A batch
/// counts once: it fails if all of its answers are failures, since a store may answer a part of a
/// batch with "did not happen". A command that its caller drops fails if that was after the
/// [`silence`](BreakerConfig::silence), and does not count before: the manager drops the commands of
/// a store that hangs, and a waiter that loses patience says nothing about the store. A probe that
/// is dropped before that gives its turn to the next command; one without an answer for the
/// silence has failed, even if its caller goes on waiting.
///
/// # What passes an open circuit
///
/// - `renew` and `hear` always pass. Answered at once, they would cost leases and places in the
///   queue that the store still has when it is back before the pause is over. They are few: a
///   manager sends them in batches, at a third of the ttl or keep-alive, and with pauses after a
///   failure. An answer to one of them ends the pause, so that the next command is the probe.
/// - `health` always passes and does not count: operators ask when the store fails.
/// - `release` and `cancel` are answered at once, like all others. They may be as many as all locks
///   of the process, and nothing is lost: the manager repeats each, with pauses of at most a second,
///   until the store has it or the lease is over. They are sent with the probe, or directly after it.
///
/// The circuit counts by tokio's clock, for this process. Clones share it.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use lock_core::layer::{BreakerConfig, CircuitBreaker, CircuitState};
/// use lock_core::{LockManager, OwnerId};
/// use lock_memory::MemoryBackend;
///
/// let store = CircuitBreaker::new(MemoryBackend::new(), BreakerConfig::default());
/// let manager = LockManager::new(store.clone(), OwnerId::parse("deploy-7")?);
/// manager.acquire("acme/infra/prod").await?.release().await?;
/// assert!(matches!(store.state(), CircuitState::Closed));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CircuitBreaker<S> {
    store: S,
    circuit: Arc<Mutex<Circuit>>,
}

impl<S> CircuitBreaker<S> {
    /// Spares `store` while it fails.
    pub fn new(store: S, config: BreakerConfig) -> Self {
        Self { store, circuit: Arc::new(Mutex::new(Circuit::new(config))) }
    }

    /// The state of the circuit now.
    #[must_use]
    pub fn state(&self) -> CircuitState {
        lock(&self.circuit).state(Instant::now())
    }

    /// Lets a command pass, or fails it at once.
    fn admit(&self, operation: Operation, key: Option<&LockKey>) -> Result<Passing<'_>> {
        let pass = lock(&self.circuit).admit(Instant::now(), is_vital(operation));
        match pass {
            Ok(pass) => Ok(Passing { circuit: &self.circuit, operation, pass: Some(pass) }),
            Err(open) => {
                let error = Error::new(ErrorKind::Unavailable, operation).with_source(open);
                Err(match key {
                    Some(key) => error.with_key(key.clone()),
                    None => error,
                })
            }
        }
    }

    async fn one<T>(
        &self,
        operation: Operation,
        key: Option<&LockKey>,
        command: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let passing = self.admit(operation, key)?;
        let reply = command.await;
        passing.settle(reply.as_ref().err());
        reply
    }

    async fn batch<T>(
        &self,
        operation: Operation,
        len: usize,
        command: impl Future<Output = Vec<Result<T>>>,
    ) -> Vec<Result<T>> {
        let passing = match self.admit(operation, None) {
            Ok(passing) => passing,
            Err(error) => return vec_of(len, &error),
        };
        let replies = command.await;
        let failures = replies.iter().map_while(|reply| reply.as_ref().err().filter(is_failure));
        // A batch of nothing is no answer either.
        if !replies.is_empty() {
            let all_failed = failures.clone().count() == replies.len();
            passing.settle(failures.last().filter(|_| all_failed));
        }
        replies
    }
}

/// Returns `true` for commands that keep what clients have: they pass an open circuit.
const fn is_vital(operation: Operation) -> bool {
    matches!(operation, Operation::Renew | Operation::Hear)
}

fn is_failure(error: &&Error) -> bool {
    error.kind() == ErrorKind::Unavailable
}

fn vec_of<T>(len: usize, error: &Error) -> Vec<Result<T>> {
    (0..len).map(|_| Err(error.clone())).collect()
}

fn lock(circuit: &Mutex<Circuit>) -> MutexGuard<'_, Circuit> {
    circuit.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command on its way. Dropped without an answer, it tells the circuit so.
struct Passing<'a> {
    circuit: &'a Mutex<Circuit>,
    operation: Operation,
    pass: Option<Pass>,
}

impl Passing<'_> {
    fn settle(mut self, error: Option<&Error>) {
        self.end(match error.filter(is_failure) {
            Some(failure) => Outcome::Failed(failure.clone()),
            None => Outcome::Answered,
        });
    }

    fn end(&mut self, outcome: Outcome) {
        let Some(pass) = self.pass.take() else { return };
        let now = Instant::now();
        let mut circuit = lock(self.circuit);
        if circuit.settle(now, pass, outcome) {
            let state = circuit.state(now);
            drop(circuit);
            tracing::warn!(lock.circuit = %state, "the circuit of the store changed");
        }
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.end(Outcome::Dropped(self.operation));
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockBackend> LockBackend for CircuitBreaker<S> {
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        self.one(Operation::Listen, None, self.store.listen(mailbox)).await
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        self.one(Operation::Acquire, Some(&request.key), self.store.acquire(request)).await
    }

    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        self.batch(Operation::Hear, requests.len(), self.store.hear(requests)).await
    }

    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        self.batch(Operation::Renew, requests.len(), self.store.renew(requests)).await
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        self.one(Operation::Release, Some(&request.lease.key), self.store.release(request)).await
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        self.one(Operation::Cancel, Some(&request.key), self.store.cancel(request)).await
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        self.one(Operation::Transfer, Some(&request.lease.key), self.store.transfer(request)).await
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        self.one(Operation::Evict, Some(&request.key), self.store.evict(request)).await
    }

    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        let call = self.store.request_release(appeal);
        self.one(Operation::RequestRelease, Some(&appeal.key), call).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockInspector> LockInspector for CircuitBreaker<S> {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        self.one(Operation::Inspect, Some(&query.key), self.store.inspect(query)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        self.one(Operation::List, None, self.store.list(query)).await
    }

    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        self.one(Operation::WaitsOf, None, self.store.waits_of(query)).await
    }

    async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        self.one(Operation::Watch, None, self.store.watch(filter, after)).await
    }

    async fn health(&self) -> Result<Health> {
        let mut health = self.store.health().await?;
        match self.state() {
            CircuitState::Closed => {}
            state => health.warnings.push(state.to_string()),
        }
        Ok(health)
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}
