//! The naive rules as a store: one mutex around everything.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures_core::Stream;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, Clock, EventCursor,
    EventFilter, EventStream, EvictRequest, Eviction, FencingToken, Health, HearRequest, Heard,
    InspectQuery, Inspection, Lease, ListQuery, LockBackend, LockEvent, LockInspector, LockKey,
    MailboxId, ManualClock, Notice, NoticeStream, Page, Release, ReleaseAppeal, ReleaseRequest,
    ReleaseRequested, RenewRequest, Renewal, Result, Timed, Timestamp, Transfer, TransferRequest,
    Waiter, WaitsQuery, Watched,
};
use tokio::sync::mpsc;

use crate::fault::Fault;
use crate::naive::{Command, Key, page};

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
    /// Every event that ever was.
    events: Vec<LockEvent>,
    watchers: Vec<mpsc::UnboundedSender<Watched>>,
    mailboxes: BTreeMap<MailboxId, mpsc::UnboundedSender<Notice>>,
}

impl Naive {
    pub(crate) fn new(clock: Arc<ManualClock>, fault: Fault) -> Self {
        Self { clock, fault, state: Mutex::default() }
    }

    fn run<R>(&self, key: &LockKey, command: impl FnOnce(&mut Command<'_>) -> R) -> Timed<R> {
        let mut state = self.state.lock().unwrap();
        let State { keys, last_token, events, watchers, mailboxes } = &mut *state;
        let (key, now) = (keys.entry(key.clone()).or_default(), self.clock.now());
        let mut step = Command::new(key, now, last_token, self.fault);
        let reply = command(&mut step);
        for change in step.changes {
            let cursor = EventCursor::new((events.len() + 1).to_string());
            let event = LockEvent::new(cursor, now, change);
            watchers.retain(|watcher| watcher.send(Watched::Event(event.clone())).is_ok());
            events.push(event);
        }
        for (mailbox, notice) in step.notices {
            if let Some(mailbox) = mailboxes.get(&mailbox) {
                let _ = mailbox.send(notice);
            }
        }
        let early = u64::from(self.fault == Fault::RepliesAreEarly);
        Timed::new(Timestamp::from_micros(now.as_micros() - early), reply)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
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
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.state.lock().unwrap().mailboxes.insert(mailbox, sender);
        Ok(Box::pin(Receiver(receiver)))
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        Ok(self.run(&request.key, |it| it.acquire(request)))
    }

    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        requests.iter().map(|request| Ok(self.run(&request.key, |it| it.hear(request)))).collect()
    }

    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        let renew =
            |request: &RenewRequest| Ok(self.run(&request.lease.key, |it| it.renew(request)));
        requests.iter().map(renew).collect()
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        Ok(self.run(&request.lease.key, |it| it.release(request)))
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        Ok(self.run(&request.key, |it| it.cancel(request)))
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        Ok(self.run(&request.lease.key, |it| it.transfer(request)))
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        Ok(self.run(&request.key, |it| it.evict(request)))
    }

    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        Ok(self.run(&appeal.key, |it| it.request_release(appeal)))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockInspector for Naive {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        Ok(self.run(&query.key, |it| it.inspect(query)))
    }

    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        let mut leases = Vec::new();
        for key in self.keys() {
            let seen = self.run(&key, |it| {
                it.settle();
                it.alive().into_iter().map(|held| held.lease.clone()).collect::<Vec<_>>()
            });
            let kept = if self.fault == Fault::ListsMissTheThird { 2 } else { usize::MAX };
            leases.extend(seen.value.into_iter().take(kept).filter(|lease| query.matches(lease)));
        }
        let page = page(leases, query.cursor.as_ref(), query.limit.get() as usize, 0);
        Ok(Timed::new(self.now(), page))
    }

    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        let mut waits = Vec::new();
        for key in self.keys() {
            let seen = self.run(&key, |it| {
                it.settle();
                it.waiters()
            });
            waits.extend(seen.value.into_iter().filter(|waiter| query.of.matches(waiter)));
        }
        let page = page(waits, query.cursor.as_ref(), query.limit.get() as usize, 0);
        Ok(Timed::new(self.now(), page))
    }

    /// Everything, whatever the filter says. A cursor is the number of events up to it.
    async fn watch(
        &self,
        _filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.state.lock().unwrap();
        let seen = after.map_or(state.events.len(), |after| after.as_str().parse().unwrap());
        for event in &state.events[seen..] {
            let _ = sender.send(Watched::Event(event.clone()));
        }
        state.watchers.push(sender);
        Ok(Box::pin(Receiver(receiver)))
    }

    async fn health(&self) -> Result<Health> {
        Ok(Health::new("naive".to_owned(), Vec::new()))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none().with_events().with_notices()
    }
}

struct Receiver<T>(mpsc::UnboundedReceiver<T>);

impl<T> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}
