//! The events that a watcher of the store receives, compared with those of the machine.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use lock_core::{EventCursor, EventFilter, EventStream, LockEvent, LockKey, LockStore, Watched};

/// The longest wait for the last event, in real time.
const PATIENCE: Duration = Duration::from_secs(5);

/// The events that a watcher has received.
pub(super) struct EventLog {
    events: EventStream,
    told: Vec<LockEvent>,
}

impl EventLog {
    /// Watches everything from now on.
    pub(super) async fn begin(store: &dyn LockStore) -> Result<Self, String> {
        let told = Vec::new();
        Ok(Self { events: watch(store, None).await?, told })
    }

    /// Resumes the watch after the last event: none is repeated, and none is missing.
    pub(super) async fn resume(&mut self, store: &dyn LockStore) -> Result<(), String> {
        if let Some(last) = self.told.last() {
            self.events = watch(store, Some(&last.cursor)).await?;
        }
        Ok(())
    }

    /// Takes the events that have arrived, so that none is missed because a buffer is full.
    pub(super) async fn listen(&mut self) -> Result<(), String> {
        while let Some(watched) = self.next_at_once().await {
            self.take(watched)?;
        }
        Ok(())
    }

    async fn next_at_once(&mut self) -> Option<Option<Watched>> {
        poll_fn(|context| match self.events.as_mut().poll_next(context) {
            Poll::Ready(watched) => Poll::Ready(Some(watched)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    fn take(&mut self, watched: Option<Watched>) -> Result<(), String> {
        match watched {
            Some(Watched::Event(event)) => {
                self.told.push(event);
                Ok(())
            }
            other => Err(format!("the events are cut off by {other:?}")),
        }
    }

    /// Waits for as many events as `happened`, and returns the first difference: the expected event
    /// and the received one.
    pub(super) async fn end(
        mut self,
        happened: &[LockEvent],
    ) -> Result<(), (Option<LockEvent>, String)> {
        let complete = async {
            while self.told.len() < happened.len() {
                let next = poll_fn(|context| self.events.as_mut().poll_next(context)).await;
                self.take(next)?;
            }
            Ok(())
        };
        // A watcher that is short of events after this time receives no more.
        let cut = tokio::time::timeout(PATIENCE, complete).await.unwrap_or(Ok(()));
        cut.map_err(|cut: String| (None, cut))?;
        let (right, told) = (by_key(happened), by_key(&self.told));
        for key in right.keys().chain(told.keys()) {
            let none = Vec::new();
            let (right, told) = (right.get(key).unwrap_or(&none), told.get(key).unwrap_or(&none));
            for number in 0..right.len().max(told.len()) {
                let (right, told) = (right.get(number), told.get(number));
                let of = |event: &&LockEvent| (event.at, event.change.clone());
                if right.map(of) != told.map(of) {
                    return Err((right.copied().cloned(), format!("{told:?}")));
                }
            }
        }
        Ok(())
    }
}

async fn watch(store: &dyn LockStore, after: Option<&EventCursor>) -> Result<EventStream, String> {
    let events = store.watch(&EventFilter::all(), after).await;
    events.map_err(|error| format!("no events: {error:?}"))
}

/// The events of each key: only these are ordered.
fn by_key(events: &[LockEvent]) -> BTreeMap<&LockKey, Vec<&LockEvent>> {
    let mut keys = BTreeMap::<_, Vec<_>>::new();
    for event in events {
        keys.entry(event.key()).or_default().push(event);
    }
    keys
}
