//! The watchers of this process: how they learn that there is more to read, and how they read it.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use lock_core::{EventCursor, EventFilter, LockEvent, MailboxId, Watched};
use tokio::sync::watch;

use crate::StateStore;
use crate::journal;
use crate::thread::Thread;

/// Maximum number of events that are read at once.
const PAGE: usize = 256;

/// Watchers of this process.
#[derive(Debug)]
pub(crate) struct Watching {
    mailbox: MailboxId,
    hints: watch::Sender<()>,
}

impl Watching {
    pub(crate) fn new() -> Self {
        Self { mailbox: MailboxId::random(), hints: watch::Sender::new(()) }
    }

    /// The mailbox in which others say that there are events.
    pub(crate) const fn mailbox(&self) -> MailboxId {
        self.mailbox
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.hints.receiver_count() > 0
    }

    /// Lets all watchers read again.
    pub(crate) fn hint(&self) {
        self.hints.send_replace(());
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.hints.subscribe()
    }
}

/// Read position of a watcher.
pub(crate) struct Reader<S> {
    pub(crate) thread: Thread<S>,
    pub(crate) hints: watch::Receiver<()>,
    pub(crate) filter: EventFilter,
    pub(crate) identity: u64,
    /// The number of the last event that was read.
    pub(crate) read: u64,
    /// Events read but not yet delivered.
    pub(crate) found: VecDeque<Watched>,
}

impl<S: StateStore> Reader<S> {
    async fn next(mut self) -> Option<(Watched, Self)> {
        loop {
            if let Some(watched) = self.found.pop_front() {
                return Some((watched, self));
            }
            self.hints.borrow_and_update();
            let after = self.read;
            let events = self.thread.ask(move |worker| worker.store.events(after, PAGE));
            // Where the store fails, the next hint is soon.
            let events = events.await.and_then(|events| events).unwrap_or_default();
            let is_last = events.items.len() < PAGE;
            if events.first > self.read + 1 {
                let missed = events.first - self.read - 1;
                self.found.push_back(Watched::Missed(missed));
                // There may be none from here on.
                self.read = events.first - 1;
            }
            for (number, bytes) in events.items {
                self.read = number;
                self.take(number, &bytes);
            }
            if self.found.is_empty() && is_last && self.hints.changed().await.is_err() {
                return None;
            }
        }
    }

    fn take(&mut self, number: u64, bytes: &[u8]) {
        let watched = match journal::read(bytes) {
            Some((at, change)) => {
                let cursor = write_cursor(self.identity, number);
                let event = LockEvent::new(cursor, at, change);
                self.filter.matches(&event).then_some(Watched::Event(event))
            }
            None => Some(Watched::Missed(1)),
        };
        self.found.extend(watched);
    }
}

pub(crate) fn write_cursor(identity: u64, number: u64) -> EventCursor {
    EventCursor::new(format!("{identity:016x}-{number}"))
}

/// The identity of the store and the number of the event.
pub(crate) fn read_cursor(cursor: &EventCursor) -> Option<(u64, u64)> {
    let (identity, number) = cursor.as_str().split_once('-')?;
    Some((u64::from_str_radix(identity, 16).ok()?, number.parse().ok()?))
}

type Next<S> = Pin<Box<dyn Future<Output = Option<(Watched, Reader<S>)>> + Send>>;

/// The events that one watcher sees.
pub(crate) struct Watcher<S>(Next<S>);

impl<S: StateStore> Watcher<S> {
    pub(crate) fn new(reader: Reader<S>) -> Self {
        Self(Box::pin(reader.next()))
    }
}

impl<S> fmt::Debug for Watcher<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

impl<S: StateStore> Stream for Watcher<S> {
    type Item = Watched;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Watched>> {
        match self.0.as_mut().poll(cx) {
            Poll::Ready(Some((watched, reader))) => {
                self.0 = Box::pin(reader.next());
                Poll::Ready(Some(watched))
            }
            Poll::Ready(None) => {
                self.0 = Box::pin(std::future::pending());
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
