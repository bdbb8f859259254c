//! Streams over the pages and the events of a store.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::LockManager;
use crate::{
    Error, EventCursor, EventFilter, EventStream, InvalidInput, Lease, ListQuery, LockKey,
    Operation, Page, Result, Timed, Watched,
};

/// The leases of [`LockManager::list_all`], until the last or the first error.
pub type LeaseStream = Pin<Box<dyn Stream<Item = Result<Timed<Lease>>> + Send>>;

type NextPage = Pin<Box<dyn Future<Output = Result<Timed<Page<Lease>>>> + Send>>;

impl LockManager {
    /// Shows every lease that is alive and matches the query, page by page as it is read.
    ///
    /// A lease that is held throughout is returned once. An error ends the stream.
    #[must_use]
    pub fn list_all(&self, query: ListQuery) -> LeaseStream {
        let next = Some(page(self.clone(), query.clone()));
        Box::pin(Listing { manager: self.clone(), query, leases: VecDeque::new(), next })
    }

    /// Shows the events of one key after a cursor, or from now on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the prefix is invalid;
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when the store did not answer.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn watch_key<K>(&self, key: K, after: Option<&EventCursor>) -> Result<EventStream>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        let key = key.try_into();
        let key = key.map_err(|input| Error::invalid(Operation::Watch, input.into()))?;
        let filter = EventFilter::all().with_prefix(key.as_str());
        let events = self.watch(&filter, after).await?;
        Ok(Box::pin(KeyEvents { key, events }))
    }
}

/// Pages, one after the other.
struct Listing {
    manager: LockManager,
    query: ListQuery,
    leases: VecDeque<Timed<Lease>>,
    next: Option<NextPage>,
}

fn page(manager: LockManager, query: ListQuery) -> NextPage {
    Box::pin(async move { manager.list(&query).await })
}

impl Stream for Listing {
    type Item = Result<Timed<Lease>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(lease) = self.leases.pop_front() {
                return Poll::Ready(Some(Ok(lease)));
            }
            let Some(next) = &mut self.next else { return Poll::Ready(None) };
            let answer = ready!(next.as_mut().poll(cx));
            self.next = None;
            match answer {
                Ok(Timed { observed_at, value, .. }) => {
                    self.leases = value
                        .items
                        .into_iter()
                        .map(|lease| Timed::new(observed_at, lease))
                        .collect();
                    if let Some(cursor) = value.next {
                        let query = self.query.clone().after(cursor);
                        self.next = Some(page(self.manager.clone(), query));
                    }
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

/// Of the events of all keys that begin with one, those of this key.
struct KeyEvents {
    key: LockKey,
    events: EventStream,
}

impl Stream for KeyEvents {
    type Item = Watched;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Watched>> {
        loop {
            match ready!(self.events.as_mut().poll_next(cx)) {
                Some(Watched::Event(event)) if *event.key() != self.key => {}
                other => return Poll::Ready(other),
            }
        }
    }
}
