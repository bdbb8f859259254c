//! A store that fails on command, as networks and servers do.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, Error, ErrorKind,
    EventCursor, EventFilter, EventStream, EvictRequest, Eviction, Health, HearRequest, Heard,
    InspectQuery, Inspection, Lease, ListQuery, LockBackend, LockInspector, MailboxId, Notice,
    NoticeStream, Operation, Page, Release, ReleaseAppeal, ReleaseRequest, ReleaseRequested,
    RenewRequest, Renewal, Result, Timed, Transfer, TransferRequest, Waiter, WaitsQuery,
};
use tokio::time::{Sleep, sleep};

/// A fault of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It certainly does not happen, and fails immediately.
    Refused,
    /// It happens, but the answer is lost: the error says unknown.
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

/// A fault of notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoticeFault {
    /// They never arrive.
    Lost,
    /// Each arrives this time after the one before it.
    Delayed(Duration),
}

/// A decorator of a store whose commands fail on request, and are counted.
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
    notices: Option<NoticeFault>,
    commands: HashMap<Operation, u64>,
    /// `true` if its health says that it grants nothing.
    is_standby: bool,
}

impl<S> Faulty<S> {
    /// A store without faults yet.
    pub fn new(store: S) -> Self {
        Self { store, state: Arc::default() }
    }

    /// Makes every command of this kind fail in this way from now on.
    pub fn inject(&self, operation: Operation, fault: Fault) {
        self.state().faults.insert(operation, fault);
    }

    /// Makes all notices fail in this way from now on.
    pub fn inject_notices(&self, fault: NoticeFault) {
        self.state().notices = Some(fault);
    }

    /// Makes its health say that it grants no locks, as that of a replica does.
    pub fn stand_by(&self) {
        self.state().is_standby = true;
    }

    /// Ends all faults; calls that hang keep hanging.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.notices = None;
        state.is_standby = false;
    }

    /// The number of commands of this kind that were sent; a batch is one.
    #[must_use]
    pub fn commands(&self, operation: Operation) -> u64 {
        self.state().commands.get(&operation).copied().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a command and runs it with the present fault.
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
                sleep(span).await;
                command.await
            }
            Some(Fault::AnswerDelayed(span)) => {
                let answer = command.await;
                sleep(span).await;
                answer
            }
        }
    }
}

impl<S> Faulty<S> {
    /// Counts a batch and runs it with the present fault: a failure is one for each request.
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
        let notices = self.command(Operation::Listen, self.store.listen(mailbox)).await?;
        let state = Arc::clone(&self.state);
        Ok(Box::pin(FaultyNotices { notices, state, held_back: None }))
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

    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        self.command(Operation::RequestRelease, self.store.request_release(appeal)).await
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
        let health = self.command(Operation::Health, self.store.health()).await?;
        Ok(if self.state().is_standby { health.without_grants() } else { health })
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}

/// Notices that fail on request.
struct FaultyNotices {
    notices: NoticeStream,
    state: Arc<Mutex<State>>,
    held_back: Option<(Notice, Pin<Box<Sleep>>)>,
}

impl Stream for FaultyNotices {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        loop {
            if let Some((notice, mut sleep)) = self.held_back.take() {
                if sleep.as_mut().poll(cx).is_pending() {
                    self.held_back = Some((notice, sleep));
                    return Poll::Pending;
                }
                return Poll::Ready(Some(notice));
            }
            let Some(notice) = ready!(self.notices.as_mut().poll_next(cx)) else {
                return Poll::Ready(None);
            };
            let fault = self.state.lock().unwrap_or_else(PoisonError::into_inner).notices;
            match fault {
                None => return Poll::Ready(Some(notice)),
                Some(NoticeFault::Lost) => {}
                Some(NoticeFault::Delayed(span)) => {
                    self.held_back = Some((notice, Box::pin(sleep(span))));
                }
            }
        }
    }
}
