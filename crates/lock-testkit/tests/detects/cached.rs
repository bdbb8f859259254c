//! A store whose connections keep one kind of command to themselves.

use std::collections::HashMap;
use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures_core::Stream;
use lock_core::machine::{KeyState, Step};
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, ChangeKinds, Clock,
    EventCursor, EventFilter, EventStream, EvictRequest, EvictTarget, Eviction, FencingToken,
    Health, HearRequest, Heard, InspectQuery, Inspection, Lease, ListQuery, LockBackend,
    LockInspector, LockKey, MailboxId, ManualClock, NoticeStream, Page, Release, ReleaseAppeal,
    ReleaseRequest, ReleaseRequested, RenewRequest, Renewal, Result, Timed, Timestamp, Transfer,
    TransferRequest, Waiter, WaitsQuery,
};

use crate::fault::Fault;

/// A store whose connections keep one kind of command to themselves, as a cache does that is
/// never written back.
///
/// Each connection has a replica of its own, in which the log of all commands is run, but for
/// those that other connections keep to themselves.
pub(crate) struct Cached {
    fault: Fault,
    clock: Arc<ManualClock>,
    log: Arc<Mutex<Log>>,
    seat: usize,
    replica: Mutex<Replica>,
}

#[derive(Default)]
struct Log {
    seats: usize,
    entries: Vec<Entry>,
}

struct Entry {
    at: Timestamp,
    command: Command,
    /// The connection that keeps the command to itself; `None` when it does not.
    kept_by: Option<usize>,
}

#[derive(Clone)]
enum Command {
    Acquire(AcquireRequest),
    Hear(HearRequest),
    Renew(RenewRequest),
    Release(ReleaseRequest),
    Cancel(CancelRequest),
    Transfer(TransferRequest),
    Evict(EvictRequest),
    RequestRelease(ReleaseAppeal),
}

#[derive(PartialEq, Eq)]
enum Answer {
    Acquire(Acquisition),
    Hear(Heard),
    Renew(Renewal),
    Release(Release),
    Cancel(Cancellation),
    Transfer(Transfer),
    Evict(Eviction),
    RequestRelease(ReleaseRequested),
}

/// The store as one connection sees it.
#[derive(Default)]
struct Replica {
    /// The number of entries of the log that were run.
    run: usize,
    keys: HashMap<LockKey, KeyState>,
    last_token: Option<FencingToken>,
}

impl Replica {
    fn step<R>(
        &mut self,
        at: Timestamp,
        key: &LockKey,
        command: impl FnOnce(&mut KeyState, &mut Step) -> R,
    ) -> R {
        let mut step = Step::new(at, self.last_token, ChangeKinds::NONE);
        let reply = command(self.keys.entry(key.clone()).or_default(), &mut step);
        self.last_token = step.last_token;
        reply
    }

    fn run(&mut self, at: Timestamp, command: &Command) -> Answer {
        let key = match command {
            Command::Acquire(request) => &request.key,
            Command::Hear(request) => &request.key,
            Command::Renew(request) => &request.lease.key,
            Command::Release(request) => &request.lease.key,
            Command::Cancel(request) => &request.key,
            Command::Transfer(request) => &request.lease.key,
            Command::Evict(request) => &request.key,
            Command::RequestRelease(appeal) => &appeal.key,
        };
        self.step(at, key, |state, step| match command {
            Command::Acquire(request) => Answer::Acquire(state.acquire(step, request)),
            Command::Hear(request) => Answer::Hear(state.hear(step, request)),
            Command::Renew(request) => Answer::Renew(state.renew(step, request)),
            Command::Release(request) => Answer::Release(state.release(step, request)),
            Command::Cancel(request) => Answer::Cancel(state.cancel(step, request)),
            Command::Transfer(request) => Answer::Transfer(state.transfer(step, request)),
            Command::Evict(request) => Answer::Evict(state.evict(step, request)),
            Command::RequestRelease(appeal) => {
                Answer::RequestRelease(state.request_release(step, appeal))
            }
        })
    }
}

impl Cached {
    pub(crate) fn new(fault: Fault, clock: Arc<ManualClock>) -> Self {
        Self { fault, clock, log: Arc::default(), seat: 0, replica: Mutex::default() }
    }

    /// Another connection to the same store.
    pub(crate) fn connect(&self) -> Self {
        let mut log = self.log();
        log.seats += 1;
        let (log_of_all, clock) = (Arc::clone(&self.log), Arc::clone(&self.clock));
        let (fault, seat) = (self.fault, log.seats);
        Self { fault, clock, log: log_of_all, seat, replica: Mutex::default() }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no case is run after a panic")
    }

    /// The replica of this connection, up to date with all commands that it knows.
    fn replica(&self) -> MutexGuard<'_, Replica> {
        let mut replica = self.replica.lock().expect("no case is run after a panic");
        let log = self.log();
        for entry in &log.entries[replica.run..] {
            if entry.kept_by.is_none_or(|seat| seat == self.seat) {
                drop(replica.run(entry.at, &entry.command));
            }
        }
        replica.run = log.entries.len();
        replica
    }

    /// Runs a command in this replica, and writes it into the log.
    fn run(&self, command: Command) -> Answer {
        let at = self.clock.now();
        let mut replica = self.replica();
        let answer = replica.run(at, &command);
        let is_kept = self.keeps(&command, &answer);
        let kept_by = is_kept.then_some(self.seat);
        let mut log = self.log();
        log.entries.push(Entry { at, command, kept_by });
        replica.run = log.entries.len();
        answer
    }

    /// Returns `true` if the command is of the kind that connections keep to themselves.
    fn keeps(&self, command: &Command, answer: &Answer) -> bool {
        matches!(
            (self.fault, command, answer),
            (Fault::CachesAcquires, _, Answer::Acquire(Acquisition::Granted(_)))
                | (Fault::CachesWaiters, _, Answer::Acquire(Acquisition::Queued(_)))
                | (Fault::CachesHearings, _, Answer::Hear(Heard::Queued(_)))
                | (Fault::CachesClaims, _, Answer::Hear(Heard::Granted(_)))
                | (Fault::CachesRenewals, Command::Renew(_), _)
                | (Fault::CachesReleases, Command::Release(_), _)
                | (Fault::CachesCancels, Command::Cancel(_), _)
                | (Fault::CachesTransfers, Command::Transfer(_), _)
        ) || matches!(
            (self.fault, command),
            (Fault::CachesEvictions, Command::Evict(request))
                if !matches!(request.target, EvictTarget::Waiter(_))
        ) || matches!(
            (self.fault, command),
            (Fault::CachesEvictedWaiters, Command::Evict(request))
                if matches!(request.target, EvictTarget::Waiter(_))
        )
    }

    fn timed<T>(&self, value: T) -> Timed<T> {
        Timed::new(self.clock.now(), value)
    }
}

/// Runs a command and unwraps its answer.
macro_rules! run {
    ($store:ident, $kind:ident, $request:expr) => {
        match $store.run(Command::$kind($request.clone())) {
            Answer::$kind(answer) => Ok($store.timed(answer)),
            _ => unreachable!("a command is answered in kind"),
        }
    };
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockBackend for Cached {
    async fn listen(&self, _mailbox: MailboxId) -> Result<NoticeStream> {
        Ok(Box::pin(Silence))
    }
    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        run!(self, Acquire, request)
    }
    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        requests.iter().map(|request| run!(self, Hear, request)).collect()
    }
    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        requests.iter().map(|request| run!(self, Renew, request)).collect()
    }
    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        run!(self, Release, request)
    }
    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        run!(self, Cancel, request)
    }
    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        run!(self, Transfer, request)
    }
    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        run!(self, Evict, request)
    }
    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        run!(self, RequestRelease, appeal)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockInspector for Cached {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        let at = self.clock.now();
        let seen = self.replica().step(at, &query.key, |state, step| state.inspect(step, query));
        Ok(self.timed(seen.expect("the cases on connections name no cursor")))
    }
    async fn list(&self, _query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        pending().await
    }
    async fn waits_of(&self, _query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        pending().await
    }
    async fn watch(
        &self,
        _filter: &EventFilter,
        _after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        pending().await
    }
    async fn health(&self) -> Result<Health> {
        Ok(Health::new("cached".to_owned(), Vec::new()))
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("fault", &self.fault).finish_non_exhaustive()
    }
}

/// A mailbox that receives nothing.
struct Silence;

impl Stream for Silence {
    type Item = lock_core::Notice;

    fn poll_next(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<lock_core::Notice>> {
        Poll::Pending
    }
}
