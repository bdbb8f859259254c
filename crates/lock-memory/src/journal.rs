//! The last events of the store, and the watchers that read them.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::task::{Context, Poll, Waker};

use foldhash::fast::RandomState;
use futures_core::Stream;
use lock_core::{Change, ChangeKinds, EventCursor, EventFilter, LockEvent, Timestamp, Watched};

use crate::wake::Wakes;

/// Maximum number of events that are kept.
const EVENTS: usize = 1024;
/// Maximum number of bytes of metadata in the events that are kept, unless one alone has more.
const METADATA_BYTES: usize = 16 * 1024 * 1024;

/// The last events of the store, from the first watch on.
#[derive(Debug)]
pub(crate) struct Journal {
    /// `true` once a watcher was registered; a store without watchers pays one atomic load.
    is_kept: AtomicBool,
    /// Done when every command records its changes.
    begun: Once,
    /// Identity that distinguishes cursors of this store from those of another.
    store: u64,
    events: Mutex<Events>,
}

#[derive(Debug, Default)]
struct Events {
    /// The number of the first event that is kept.
    first: u64,
    kept: VecDeque<LockEvent>,
    metadata_bytes: usize,
    /// The watchers that have read everything, by their numbers.
    sleeping: HashMap<u64, Waker, RandomState>,
    /// The number of watchers that there ever were.
    watchers: u64,
}

impl Events {
    fn next(&self) -> u64 {
        self.first + self.kept.len() as u64
    }
}

fn metadata_bytes(change: &Change) -> usize {
    match change {
        Change::Granted(lease)
        | Change::Released(lease)
        | Change::Expired(lease)
        | Change::Evicted { lease, .. } => lease.metadata.bytes(),
        Change::Transferred { from, to } => from.metadata.bytes() + to.metadata.bytes(),
        _ => 0,
    }
}

impl Journal {
    pub(crate) fn new() -> Self {
        let (is_kept, begun) = (AtomicBool::new(false), Once::new());
        Self { is_kept, begun, store: rand::random(), events: Mutex::default() }
    }

    /// The kinds of changes to record.
    pub(crate) fn wanted(&self) -> ChangeKinds {
        match self.is_kept.load(Ordering::Acquire) {
            true => ChangeKinds::ALL,
            false => ChangeKinds::NONE,
        }
    }

    /// Keeps changes, for which the watchers are to be woken.
    pub(crate) fn publish(&self, at: Timestamp, changes: Vec<Change>, wakes: &mut Wakes) {
        let mut events = self.events();
        for change in changes {
            let cursor = self.cursor(events.next() + 1);
            events.metadata_bytes += metadata_bytes(&change);
            events.kept.push_back(LockEvent::new(cursor, at, change));
        }
        while events.kept.len() > EVENTS
            || (events.metadata_bytes > METADATA_BYTES && events.kept.len() > 1)
        {
            let Some(gone) = events.kept.pop_front() else { break };
            events.metadata_bytes -= metadata_bytes(&gone.change);
            events.first += 1;
        }
        wakes.extend(events.sleeping.drain().map(|(_, waker)| waker));
    }

    /// Watches from `after` on, or from now on; `None` when `after` is no cursor of this kind.
    ///
    /// `let_commands_end` returns when no command runs any more that ran when it was called.
    pub(crate) fn watch(
        self: &Arc<Self>,
        filter: EventFilter,
        after: Option<&EventCursor>,
        let_commands_end: impl FnOnce(),
    ) -> Option<Watcher> {
        let after = match after {
            Some(cursor) => Some(parse(cursor)?),
            None => None,
        };
        // A command that began before the first watch records nothing, and changes the key yet.
        self.begun.call_once(|| {
            self.is_kept.store(true, Ordering::Release);
            let_commands_end();
        });
        let (end, number) = {
            let mut events = self.events();
            events.watchers += 1;
            (events.next(), events.watchers)
        };
        let (next, missed) = match after {
            None => (end, 0),
            // Of what happened before the journal was kept, nothing is known.
            Some((store, after)) if store != self.store || after > end => (end, 1),
            Some((_, after)) => (after, 0),
        };
        Some(Watcher { journal: Arc::clone(self), number, filter, next, missed })
    }

    fn cursor(&self, number: u64) -> EventCursor {
        EventCursor::new(format!("{:016x}-{number}", self.store))
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(cursor: &EventCursor) -> Option<(u64, u64)> {
    let (store, number) = cursor.as_str().split_once('-')?;
    Some((u64::from_str_radix(store, 16).ok()?, number.parse().ok()?))
}

/// The events that one watcher sees.
#[derive(Debug)]
pub(crate) struct Watcher {
    journal: Arc<Journal>,
    /// Identity among the watchers.
    number: u64,
    filter: EventFilter,
    /// The number of the event to read next.
    next: u64,
    missed: u64,
}

impl Stream for Watcher {
    type Item = Watched;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Watched>> {
        let watcher = self.get_mut();
        let mut events = watcher.journal.events();
        if watcher.next < events.first {
            watcher.missed += events.first - watcher.next;
            watcher.next = events.first;
        }
        if watcher.missed > 0 {
            return Poll::Ready(Some(Watched::Missed(std::mem::take(&mut watcher.missed))));
        }
        while let Some(event) = events.kept.get((watcher.next - events.first) as usize) {
            watcher.next += 1;
            if watcher.filter.matches(event) {
                return Poll::Ready(Some(Watched::Event(event.clone())));
            }
        }
        let replaced = events.sleeping.insert(watcher.number, cx.waker().clone());
        drop((events, replaced));
        Poll::Pending
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let waker = self.journal.events().sleeping.remove(&self.number);
        drop(waker);
    }
}
