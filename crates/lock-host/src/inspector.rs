//! The inspector.

use std::collections::VecDeque;

use async_trait::async_trait;
use lock_core::machine::{KeyState, Step};
use lock_core::{
    Capabilities, Error, ErrorKind, EventCursor, EventFilter, EventStream, Health, InspectQuery,
    Inspection, Lease, ListQuery, LockInspector, LockKey, Operation, Page, Result, Timed,
    Timestamp, Waiter, WaitsQuery, Watched,
};

use crate::backend::HostBackend;
use crate::cell::FIRST_KEY;
use crate::listing::{ListCursor, WaitsCursor, foreign};
use crate::watch::{Reader, Watcher, read_cursor};
use crate::{Inbox, Scan, ScanFilter, StateStore};

/// Maximum number of keys that a page looks at.
const KEYS_A_PAGE: usize = 128;
/// Maximum number of leases that a page looks at.
const LEASES_A_PAGE: usize = 1000;

/// Leases are listed in the order of their keys, and of their tokens within each. A query for
/// waiters reads every key with a queue.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: StateStore> LockInspector for HostBackend<S> {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        let (key, wanted) = (query.key.clone(), query.clone());
        let inspect = move |state: &mut KeyState, step: &mut Step| state.inspect(step, &wanted);
        let seen = self.run(Operation::Inspect, &key, inspect).await?;
        let invalid = |input| Error::invalid(Operation::Inspect, input).with_key(key);
        Ok(Timed::new(seen.observed_at, seen.value.map_err(invalid)?))
    }

    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        let cursor = query.cursor.as_ref().map(ListCursor::read).transpose()?;
        let from = cursor.as_ref().map(|cursor| cursor.key.clone());
        let filter = ScanFilter::All;
        let (keys, next_key) = self.keys(Operation::List, filter, &query.prefix, from).await?;
        let begun = cursor.and_then(|cursor| Some((cursor.key, cursor.after?)));
        let look = keys.into_iter().map(|key| {
            let after = begun.as_ref().filter(|begun| begun.0 == key).map(|begun| begun.1);
            let look = move |state: &mut KeyState, step: &mut Step| {
                state.settle(step);
                let leases = state.leases_after(after, step.now).take(LEASES_A_PAGE + 1);
                leases.cloned().collect::<Vec<_>>()
            };
            (key, look)
        });
        let seen = self.run_all(Operation::List, |_| false, look).await;
        let seen: Vec<Timed<Vec<Lease>>> = seen.into_iter().collect::<Result<_>>()?;
        let now = match seen.last() {
            Some(last) => last.observed_at,
            None => self.now(Operation::List).await?,
        };
        let mut page = Vec::new();
        let mut last: Option<ListCursor> = None;
        let leases = seen.into_iter().flat_map(|seen| seen.value);
        for (looked_at, lease) in leases.enumerate() {
            if page.len() == query.limit.get() as usize || looked_at == LEASES_A_PAGE {
                let next = last.map(|last| last.write());
                return Ok(Timed::new(now, Page::new(page, next)));
            }
            last = Some(ListCursor { key: lease.key.clone(), after: Some(lease.token) });
            page.extend(Some(lease).filter(|lease| query.matches(lease)));
        }
        let next = next_key.map(|key| ListCursor { key, after: None }.write());
        Ok(Timed::new(now, Page::new(page, next)))
    }

    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        let cursor = query.cursor.as_ref().map(WaitsCursor::read).transpose()?;
        let from = cursor.as_ref().map(|cursor| cursor.key.clone());
        let (keys, next_key) = self.keys(Operation::WaitsOf, ScanFilter::Waits, "", from).await?;
        let limit = query.limit.get() as usize;
        let begun = cursor.and_then(|cursor| Some((cursor.key, cursor.within?)));
        let look = keys.iter().map(|key| {
            let within = begun.as_ref().filter(|begun| begun.0 == *key);
            let (within, of) = (within.map(|begun| begun.1.clone()), query.of.clone());
            let look = move |state: &mut KeyState, step: &mut Step| {
                state.waits_of(step, &of, within.as_ref(), limit)
            };
            (key.clone(), look)
        });
        let seen = self.run_all(Operation::WaitsOf, |_| false, look).await;
        let seen: Vec<_> = seen.into_iter().collect::<Result<_>>()?;
        let now = match seen.last() {
            Some(last) => last.observed_at,
            None => self.now(Operation::WaitsOf).await?,
        };
        let mut found = Vec::new();
        for (key, seen) in keys.into_iter().zip(seen) {
            let page = seen.value.map_err(|input| Error::invalid(Operation::WaitsOf, input))?;
            let next = |within| WaitsCursor { key: key.clone(), within }.write();
            if !page.items.is_empty() && found.len() + page.items.len() > limit {
                // Waiters that do not fit are found again, from the head of their queue or from
                // where this page began in it.
                let begun = begun.as_ref().filter(|begun| begun.0 == key);
                let next = next(begun.map(|begun| begun.1.clone()));
                return Ok(Timed::new(now, Page::new(found, Some(next))));
            }
            found.extend(page.items);
            if page.next.is_some() {
                return Ok(Timed::new(now, Page::new(found, Some(next(page.next)))));
            }
        }
        let next = next_key.map(|key| WaitsCursor { key, within: None }.write());
        Ok(Timed::new(now, Page::new(found, next)))
    }

    async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        if !self.properties.events {
            return Err(Error::new(ErrorKind::Unsupported, Operation::Watch));
        }
        let after = match after {
            Some(cursor) => Some(read_cursor(cursor).ok_or_else(|| foreign(Operation::Watch))?),
            None => None,
        };
        let (hints, identity) = (self.watching.subscribe(), self.properties.identity);
        let inbox = Inbox::of_watchers(&self.watching);
        let begun = self.thread.ask(move |worker| worker.begin_to_watch(inbox)).await;
        let last = begun.and_then(|last| last).map_err(|error| error.of(Operation::Watch))?;
        let (read, found) = match after {
            None => (last, VecDeque::new()),
            Some((store, number)) if store != identity || number > last => {
                (last, VecDeque::from([Watched::Missed(1)]))
            }
            Some((_, number)) => (number, VecDeque::new()),
        };
        let (thread, filter) = (self.thread.clone(), filter.clone());
        Ok(Box::pin(Watcher::new(Reader { thread, hints, filter, identity, read, found })))
    }

    async fn health(&self) -> Result<Health> {
        let warnings = self.thread.ask(|worker| worker.store.warnings()).await;
        let warnings = warnings.and_then(|warnings| warnings);
        let warnings = warnings.map_err(|error| error.of(Operation::Health))?;
        Ok(Health::new(self.properties.name.clone(), warnings))
    }

    fn capabilities(&self) -> Capabilities {
        let of = &self.properties;
        let with = |is_offered, with: fn(Capabilities) -> Capabilities, all: Capabilities| {
            if is_offered { with(all) } else { all }
        };
        let all = Capabilities::none().with_key_bytes(of.key_bytes);
        let all = with(of.pushes, Capabilities::with_notices, all);
        let all = with(of.events, Capabilities::with_events, all);
        let all = with(of.shared, Capabilities::with_sharing, all);
        with(of.durable, Capabilities::with_durability, all)
    }
}

impl<S: StateStore> HostBackend<S> {
    /// The keys from `from` on that a page looks at, and the one that follows them.
    async fn keys(
        &self,
        operation: Operation,
        filter: ScanFilter,
        prefix: &str,
        from: Option<LockKey>,
    ) -> Result<(Vec<LockKey>, Option<LockKey>)> {
        let from = from.as_ref().map_or(FIRST_KEY, LockKey::as_str).max(prefix).to_owned();
        let names = self
            .thread
            .ask(move |worker| worker.store.scan(&Scan::new(&from, filter, KEYS_A_PAGE + 1)));
        let names = names.await.and_then(|names| names).map_err(|error| error.of(operation))?;
        // The names are in their order, so those that begin in another way are behind these.
        let named = names.iter().take_while(|name| name.starts_with(prefix));
        let mut keys: Vec<LockKey> = named.filter_map(|name| LockKey::parse(name).ok()).collect();
        let next = (keys.len() > KEYS_A_PAGE).then(|| keys.pop()).flatten();
        Ok((keys, next))
    }

    /// The store's time, if no command returned it.
    async fn now(&self, operation: Operation) -> Result<Timestamp> {
        let now = self.thread.ask(|worker| worker.read_clock()).await.and_then(|now| now);
        now.map_err(|error| error.of(operation))
    }
}
