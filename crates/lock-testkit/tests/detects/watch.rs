//! Broken stores: events.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use lock_core::{
    Change, EventCursor, EventFilter, EventStream, LockEvent, LockInspector, Reason, Result,
    Watched,
};

use super::Broken;
use crate::fault::Fault;

impl Broken {
    pub(super) async fn watch_broken(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        let after = after.filter(|_| !self.is(Fault::WatchesBeginNow));
        let events = match self.fault {
            Fault::EventsAreUnfiltered => self.inner.watch(&EventFilter::all(), after).await?,
            _ => self.inner.watch(filter, after).await?,
        };
        Ok(Box::pin(Events { store: self.clone(), events }))
    }

    /// The event as sent, if it is.
    fn tell(&self, event: LockEvent) -> Option<LockEvent> {
        let change = match (self.fault, self.show_change(event.change)) {
            (Fault::ReleasesAreNoEvents, Change::Released(_))
            | (Fault::ExpiriesAreNoEvents, Change::Expired(_)) => return None,
            (Fault::EvictionEventsHideWhy, Change::Evicted { lease, by, .. }) => {
                let reason = Reason::parse("unknown").expect("a valid reason");
                Change::Evicted { lease, by, reason }
            }
            (Fault::TransfersLookLikeGrants, Change::Transferred { to, .. }) => Change::Granted(to),
            (Fault::LapsesLookLikeCancels, Change::Lapsed(waiter)) => Change::Cancelled(waiter),
            (_, change) => change,
        };
        Some(LockEvent::new(event.cursor, event.at, change))
    }
}

/// The events of one watcher.
struct Events {
    store: Broken,
    events: EventStream,
}

impl Stream for Events {
    type Item = Watched;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Watched>> {
        loop {
            let watched = ready!(self.events.as_mut().poll_next(context));
            let Some(Watched::Event(event)) = watched else { return Poll::Ready(watched) };
            if let Some(event) = self.store.tell(event) {
                return Poll::Ready(Some(Watched::Event(event)));
            }
        }
    }
}
