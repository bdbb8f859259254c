//! The naive rules as a store: one mutex around everything.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures_core::Stream;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, Clock, Cursor,
    EventFilter, EventStream, EvictRequest, Eviction, FencingToken, Health, Inspection, ListQuery,
    LockBackend, LockEvent, LockInspector, LockKey, ManualClock, OwnerId, Page, Release,
    ReleaseRequest, RenewRequest, Renewal, Result, Transfer, TransferRequest, WaitRequest, Waiter,
    Wake, Watched,
};
use tokio::sync::mpsc;

use crate::fault::Fault;
use crate::naive::{Command, Key};

/// A store that follows the rules naively, but for its fault.
pub(crate) struct Naive {
    clock: Arc<ManualClock>,
    fault: Fault,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: BTreeMap<LockKey, Key>,
    last_token: Option<FencingToken>,
    watchers: Vec<mpsc::UnboundedSender<LockEvent>>,
}

impl Naive {
    pub(crate) fn new(clock: Arc<ManualClock>, fault: Fault) -> Self {
        Self { clock, fault, state: Mutex::default() }
    }

    fn run<R>(&self, key: &LockKey, command: impl FnOnce(&mut Command<'_>) -> R) -> R {
        let mut state = self.state.lock().unwrap();
        let State { keys, last_token, watchers } = &mut *state;
        let (key, now, changes) = (keys.entry(key.clone()).or_default(), self.clock.now(), vec![]);
        let mut step = Command { key, now, last_token, changes, fault: self.fault };
        let reply = command(&mut step);
        for change in step.changes {
            let event = LockEvent::new(now, change);
            watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
        }
        reply
    }

    fn keys(&self) -> Vec<LockKey> {
        self.state.lock().unwrap().keys.keys().cloned().collect()
    }
}

impl fmt::Debug for Naive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Naive").field("fault", &self.fault).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockBackend for Naive {
    async fn acquire(&self, asked: &AcquireRequest) -> Result<Acquisition> {
        Ok(self.run(&asked.key, |it| it.acquire(asked)))
    }

    /// Ends at once whatever there is.
    async fn wait(&self, awaited: &WaitRequest) -> Result<Wake> {
        let seen = self.inspect(&awaited.key).await?;
        if self.fault == Fault::WaitsTellNothing {
            return Ok(Wake::AskAgain);
        }
        let lease = seen.leases.into_iter().find(|lease| lease.request == awaited.request);
        Ok(lease.map_or(Wake::AskAgain, Wake::Granted))
    }

    async fn renew(&self, renewals: &[RenewRequest]) -> Vec<Result<Renewal>> {
        renewals.iter().map(|renewal| Ok(self.run(&renewal.key, |it| it.renew(renewal)))).collect()
    }

    async fn release(&self, held: &ReleaseRequest) -> Result<Release> {
        Ok(self.run(&held.key, |it| it.release(held.request)))
    }

    async fn cancel(&self, asked: &CancelRequest) -> Result<Cancellation> {
        Ok(self.run(&asked.key, |it| it.cancel(asked.request)))
    }

    async fn transfer(&self, given: &TransferRequest) -> Result<Transfer> {
        Ok(self.run(&given.key, |it| it.transfer(given)))
    }

    async fn evict(&self, eviction: &EvictRequest) -> Result<Eviction> {
        Ok(Eviction::new(self.run(&eviction.key, |it| it.evict(eviction))))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockInspector for Naive {
    async fn inspect(&self, key: &LockKey) -> Result<Inspection> {
        Ok(self.run(key, |it| it.inspect(key)))
    }

    /// The cursor is how many leases were listed before.
    async fn list(&self, query: &ListQuery) -> Result<Page> {
        let (mut leases, limit) = (Vec::new(), query.limit.get() as usize);
        for key in self.keys() {
            let held = self.inspect(&key).await?.leases;
            let kept = if self.fault == Fault::ListsMissTheThird { 2 } else { usize::MAX };
            leases.extend(held.into_iter().take(kept).filter(|lease| query.matches(lease)));
        }
        let skipped = query.cursor.as_ref().map_or(0, |cursor| cursor.as_str().parse().unwrap());
        let next = (skipped + limit < leases.len()).then(|| (skipped + limit).to_string());
        let page = leases.into_iter().skip(skipped).take(limit).collect();
        Ok(Page::new(page, next.map(Cursor::new), self.clock.now()))
    }

    async fn waits_of(&self, owner: &OwnerId) -> Result<Vec<Waiter>> {
        let mut waits = Vec::new();
        for key in self.keys() {
            waits.extend(self.inspect(&key).await?.waiters);
        }
        waits.retain(|waiter| waiter.owner == *owner);
        Ok(waits)
    }

    /// Everything, whatever the filter says.
    async fn watch(&self, _filter: &EventFilter) -> Result<EventStream> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.state.lock().unwrap().watchers.push(sender);
        Ok(Box::pin(Events(receiver)))
    }

    async fn health(&self) -> Result<Health> {
        Ok(Health::new("naive".to_owned(), Vec::new()))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none().with_events()
    }
}

struct Events(mpsc::UnboundedReceiver<LockEvent>);

impl Stream for Events {
    type Item = Watched;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Watched>> {
        self.0.poll_recv(context).map(|event| event.map(Watched::Event))
    }
}
