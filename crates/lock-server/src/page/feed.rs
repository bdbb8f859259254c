//! The events of the store, kept while the page is in use.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{EventFilter, LockKey, Timestamp, Watched};
use tokio::sync::watch;
use tokio::time::Instant;

use super::record::Record;
use crate::Service;

/// Maximum number of events that are kept, of all keys together.
pub(super) const KEPT: usize = 2000;

/// Time without a use of the page after which the store is no longer watched: many stores write
/// events for their watchers alone.
const IDLE: Duration = Duration::from_secs(600);

/// The events of the store, kept while the page is in use.
#[derive(Debug)]
pub(super) struct Feed {
    log: Mutex<Log>,
    /// Number of the last event.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Log {
    state: State,
    used: Instant,
    records: VecDeque<(u64, Record)>,
    /// Number of the last event that was missed.
    gap: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Opening,
    /// Watches from now on.
    Open,
    /// Has every event after this point of time, on the store's clock.
    Since(Timestamp),
}

/// The kept events of a key.
#[derive(Debug)]
pub(super) struct Kept {
    /// The point of time after which none is missing; `None` while the store is not watched.
    pub(super) since: Option<Timestamp>,
    /// The last first.
    pub(super) records: Vec<Record>,
}

impl Feed {
    pub(super) fn new() -> Self {
        let (records, used) = (VecDeque::new(), Instant::now());
        let log = Log { state: State::Idle, used, records, gap: 0 };
        Self { log: Mutex::new(log), changes: watch::Sender::new(0) }
    }

    /// Watches the store from now on, if it is not watched yet.
    pub(super) fn wake(self: &Arc<Self>, service: &Service) {
        let mut log = self.log();
        log.used = Instant::now();
        if log.state != State::Idle || !service.store.capabilities().events {
            return;
        }
        log.state = State::Opening;
        drop(log);
        let (feed, service) = (Arc::clone(self), service.clone());
        tokio::spawn(async move {
            feed.read(&service).await;
            feed.forget(State::Idle);
        });
    }

    /// The kept events of a key. `now` is the store's time.
    pub(super) fn of_key(&self, key: &LockKey, now: Timestamp) -> Kept {
        let mut log = self.log();
        if log.state == State::Open {
            log.state = State::Since(now);
        }
        let since = match log.state {
            State::Since(since) => Some(since),
            _ => None,
        };
        let records = log.records.iter().rev().map(|(_, record)| record);
        Kept { since, records: records.filter(|record| record.key == *key).cloned().collect() }
    }

    /// Learns of every new event.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Returns `true` if an event after this number is of the key, or may be.
    pub(super) fn has_changed(&self, key: Option<&LockKey>, after: u64) -> bool {
        let log = self.log();
        let fresh = log.records.iter().rev().take_while(|(number, _)| *number > after);
        log.gap > after
            || fresh.map(|(_, record)| record).any(|it| key.is_none_or(|key| it.key == *key))
    }

    async fn read(&self, service: &Service) {
        let filter = EventFilter::all();
        let mut events = match service.bounded(service.store.watch(&filter, None)).await {
            Ok(events) => events,
            Err(problem) => {
                tracing::debug!(problem.detail, "the page cannot watch the store");
                return;
            }
        };
        self.forget(State::Open);
        loop {
            let used = self.log().used;
            tokio::select! {
                () = service.closing.cancelled() => return,
                () = tokio::time::sleep_until(used + IDLE) => {
                    if self.log().used == used {
                        return;
                    }
                }
                watched = poll_fn(|cx| events.as_mut().poll_next(cx)) => match watched {
                    Some(Watched::Event(event)) => self.keep(Record::of(event)),
                    Some(_) => self.forget(State::Open),
                    None => return,
                }
            }
        }
    }

    fn keep(&self, record: Option<Record>) {
        let Some(record) = record else { return self.forget(State::Open) };
        let mut log = self.log();
        let number = *self.changes.borrow() + 1;
        if log.records.len() == KEPT
            && let Some((_, first)) = log.records.pop_front()
            && let State::Since(since) = &mut log.state
        {
            *since = first.at.max(*since);
        }
        log.records.push_back((number, record));
        drop(log);
        self.changes.send_replace(number);
    }

    /// Drops the events, as there is a gap behind them.
    fn forget(&self, state: State) {
        let mut log = self.log();
        let number = *self.changes.borrow() + 1;
        log.records.clear();
        (log.state, log.gap) = (state, number);
        drop(log);
        self.changes.send_replace(number);
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use lock_core::{
        AcquireRequest, Change, ChangeKind, EventCursor, FencingToken, Lease, LockBackend as _,
        LockEvent, LockStore, OwnerId, RequestId,
    };
    use lock_memory::MemoryBackend;

    use super::*;
    use crate::ServiceConfig;

    fn key() -> LockKey {
        LockKey::parse("deploy").unwrap()
    }

    fn request() -> AcquireRequest {
        AcquireRequest::new(RequestId::random(), key(), OwnerId::parse("alice").unwrap())
    }

    fn record(micros: u64) -> Option<Record> {
        let at = Timestamp::from_micros(micros);
        let lease = Lease::granted(&request(), FencingToken::MAX, at);
        let cursor = EventCursor::new(micros.to_string());
        Record::of(LockEvent::new(cursor, at, Change::Granted(lease)))
    }

    fn watched() -> Feed {
        let feed = Feed::new();
        feed.forget(State::Open);
        assert_eq!(
            feed.of_key(&key(), Timestamp::from_micros(1)).since,
            Some(Timestamp::from_micros(1))
        );
        feed
    }

    #[test]
    fn oldest_events_give_way_and_the_feed_says_since_when_it_is_complete() {
        let feed = watched();
        for micros in 2..KEPT as u64 + 5 {
            feed.keep(record(micros));
        }
        let kept = feed.of_key(&key(), Timestamp::from_micros(9));
        assert_eq!(kept.records.len(), KEPT);
        assert_eq!(kept.records[KEPT - 1].at, Timestamp::from_micros(5));
        assert_eq!(kept.since, Some(Timestamp::from_micros(4)));
    }

    #[test]
    fn gap_drops_the_events_before_it_and_changes_every_key() {
        let feed = watched();
        feed.keep(record(2));
        let seen = *feed.changes().borrow();
        assert!(!feed.has_changed(None, seen));
        feed.forget(State::Open);
        assert!(feed.has_changed(Some(&LockKey::parse("other").unwrap()), seen));
        let kept = feed.of_key(&key(), Timestamp::from_micros(9));
        assert!(kept.records.is_empty());
        assert_eq!(kept.since, Some(Timestamp::from_micros(9)));
    }

    #[tokio::test(start_paused = true)]
    async fn store_is_watched_until_ten_minutes_after_the_last_use() {
        let store: Arc<dyn LockStore> = Arc::new(MemoryBackend::new());
        let service = Service::new(Arc::clone(&store), ServiceConfig::new());
        let feed = Arc::new(Feed::new());
        let mut changes = feed.changes();
        feed.wake(&service);
        changes.changed().await.unwrap();
        tokio::time::sleep(IDLE / 2).await;
        feed.wake(&service);
        tokio::time::sleep(IDLE * 3 / 4).await;
        let _ = store.acquire(&request()).await.unwrap();
        changes.changed().await.unwrap();
        let kept = feed.of_key(&key(), Timestamp::from_micros(1));
        assert_eq!(kept.records[0].kind, ChangeKind::Granted);
        // The last use is over for ten minutes: everything is dropped.
        changes.changed().await.unwrap();
        let kept = feed.of_key(&key(), Timestamp::from_micros(1));
        assert!(kept.since.is_none() && kept.records.is_empty());
    }
}
