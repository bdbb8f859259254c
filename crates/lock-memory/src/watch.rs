//! Who watches, and which changes they want to see.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
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
    wanted: AtomicU32,
    all: RwLock<Vec<Watcher>>,
}

#[derive(Debug)]
struct Watcher {
    filter: EventFilter,
    sender: mpsc::Sender<LockEvent>,
    missed: Missed,
}

/// How many events a watcher missed. Once it missed one, it misses all until it has read what it has
/// and was told: so it sees the gap where it is.
type Missed = Arc<Mutex<u64>>;

fn lock(missed: &Missed) -> MutexGuard<'_, u64> {
    missed.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Adds a watcher, which leaves when its stream is dropped; the stream ends with the store.
    pub(crate) fn add(self: &Arc<Self>, filter: EventFilter) -> Events {
        let (sender, receiver) = mpsc::channel(BUFFER);
        let missed = Missed::default();
        let watcher = Watcher { filter, sender, missed: Arc::clone(&missed) };
        self.change(|all| all.push(watcher));
        Events { receiver, missed, watchers: Arc::downgrade(self) }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Watcher>)) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut all);
        let wanted = all.iter().fold(ChangeKinds::NONE, |sum, w| sum.union(w.filter.kinds));
        self.wanted.store(wanted.to_bits(), Ordering::Release);
    }
}

impl Watcher {
    fn show(&self, event: LockEvent) {
        let mut missed = lock(&self.missed);
        if *missed > 0 || self.sender.try_send(event).is_err() {
            *missed += 1;
        }
    }
}

/// What one watcher sees.
#[derive(Debug)]
pub(crate) struct Events {
    receiver: mpsc::Receiver<LockEvent>,
    missed: Missed,
    watchers: Weak<Watchers>,
}

impl Stream for Events {
    type Item = Watched;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Watched>> {
        if let Poll::Ready(event) = self.receiver.poll_recv(cx) {
            return Poll::Ready(event.map(Watched::Event));
        }
        // Pending is not yet empty: tokio also says so to let other tasks run. Nothing is added while
        // the number is locked.
        let missed = {
            let mut missed = lock(&self.missed);
            if self.receiver.is_empty() { std::mem::take(&mut *missed) } else { 0 }
        };
        match missed {
            0 => Poll::Pending,
            missed => Poll::Ready(Some(Watched::Missed(missed))),
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if let Some(watchers) = self.watchers.upgrade() {
            watchers.change(|all| all.retain(|it| !Arc::ptr_eq(&it.missed, &self.missed)));
        }
    }
}
