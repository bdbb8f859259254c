//! Who watches, and which changes they want to see.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll};

use futures_core::Stream;
use lock_core::{Change, ChangeKinds, EventFilter, LockEvent, Timestamp, Watched};
use tokio::sync::mpsc;

/// How many events a watcher may lag behind before it misses some.
const BUFFER: usize = 1024;

/// All watchers.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    /// The kinds that any watcher wants, so that a store without watchers pays one load.
    wanted: AtomicU8,
    all: RwLock<Vec<Arc<Watcher>>>,
}

#[derive(Debug)]
struct Watcher {
    filter: EventFilter,
    outlet: Mutex<Outlet>,
}

/// Where a watcher's events go. Once one was missed, all are until the watcher has read what it
/// has and was told: so it sees the gap where it is.
#[derive(Debug)]
struct Outlet {
    sender: mpsc::Sender<LockEvent>,
    missed: u64,
}

impl Watchers {
    /// The kinds of changes that anybody wants to see.
    pub(crate) fn wanted(&self) -> ChangeKinds {
        ChangeKinds::from_bits(self.wanted.load(Ordering::Acquire))
    }

    /// Shows changes to those who want to see them.
    pub(crate) fn publish(&self, at: Timestamp, changes: Vec<Change>) {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            let event = LockEvent::new(at, change);
            for watcher in all.iter().filter(|watcher| watcher.filter.matches(&event)) {
                watcher.show(event.clone());
            }
        }
    }

    /// Adds a watcher, which leaves when its stream is dropped.
    pub(crate) fn add(self: &Arc<Self>, filter: EventFilter) -> Events {
        let (sender, receiver) = mpsc::channel(BUFFER);
        let outlet = Mutex::new(Outlet { sender, missed: 0 });
        let watcher = Arc::new(Watcher { filter, outlet });
        self.change(|all| all.push(Arc::clone(&watcher)));
        Events { receiver, watcher, watchers: Arc::clone(self) }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Watcher>>)) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut all);
        let wanted = all.iter().fold(ChangeKinds::NONE, |sum, w| sum.union(w.filter.kinds));
        self.wanted.store(wanted.to_bits(), Ordering::Release);
    }
}

impl Watcher {
    fn show(&self, event: LockEvent) {
        let mut outlet = self.outlet();
        if outlet.missed > 0 || outlet.sender.try_send(event).is_err() {
            outlet.missed += 1;
        }
    }

    fn outlet(&self) -> MutexGuard<'_, Outlet> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one watcher sees.
#[derive(Debug)]
pub(crate) struct Events {
    receiver: mpsc::Receiver<LockEvent>,
    watcher: Arc<Watcher>,
    watchers: Arc<Watchers>,
}

impl Stream for Events {
    type Item = Watched;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Watched>> {
        if let Poll::Ready(event) = self.receiver.poll_recv(cx) {
            return Poll::Ready(event.map(Watched::Event));
        }
        // Pending is not yet empty: tokio also says so to let other tasks run. Nothing is added while
        // the outlet is locked.
        let missed = {
            let mut outlet = self.watcher.outlet();
            if self.receiver.is_empty() { std::mem::take(&mut outlet.missed) } else { 0 }
        };
        match missed {
            0 => Poll::Pending,
            missed => Poll::Ready(Some(Watched::Missed(missed))),
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let gone = Arc::clone(&self.watcher);
        self.watchers.change(|all| all.retain(|watcher| !Arc::ptr_eq(watcher, &gone)));
    }
}
