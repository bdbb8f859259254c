//! What can be seen of the store.

use std::collections::BTreeMap;

use async_trait::async_trait;
use lock_core::machine::{KeyState, Step};
use lock_core::{
    Capabilities, Cursor, Error, EventCursor, EventFilter, EventStream, Health, InspectQuery,
    Inspection, InvalidInput, Lease, ListQuery, LockInspector, LockKey, Operation, Page, RequestId,
    Result, Timed, Violation, Waiter, WaitsOf, WaitsQuery,
};

use crate::backend::MemoryBackend;

/// The number of keys from which on a page looks at no more.
const KEYS_A_PAGE: usize = 256;

/// Leases are listed shard by shard, in the order of their keys and requests within each. A page
/// looks through few shards, of which each has a 1,024th of all keys.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockInspector for MemoryBackend {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        let seen = self.table.run_known(&query.key, |state, step| state.inspect(step, query));
        let invalid = |input| Error::invalid(Operation::Inspect, input).with_key(query.key.clone());
        Ok(Timed::new(seen.observed_at, seen.value.map_err(invalid)?))
    }

    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        let cursor = query.cursor.as_ref().map(ListCursor::read).transpose()?.unwrap_or_default();
        if !self.table.has_shard(cursor.shard) {
            return Err(foreign(Operation::List));
        }
        let limit = query.limit.get() as usize;
        let ListCursor { mut shard, mut after } = cursor;
        let (mut leases, mut looked_at) = (Vec::new(), 0);
        let next = loop {
            let rest = limit - leases.len();
            let (found, keys) = self.leases_of_shard(shard, query, after.take().as_ref(), rest);
            looked_at += keys;
            // One more than there is room for tells whether another follows.
            let is_all = found.len() <= rest;
            let last = found.iter().nth(rest.saturating_sub(1)).map(|(at, _)| at.clone());
            leases.extend(found.into_values().take(rest));
            if !is_all {
                break Some(ListCursor { shard, after: last });
            }
            shard += 1;
            if !self.table.has_shard(shard) {
                break None;
            }
            if leases.len() == limit || looked_at >= KEYS_A_PAGE {
                break Some(ListCursor { shard, after: None });
            }
        };
        let next = next.map(|next| next.write());
        Ok(Timed::new(self.table.now(), Page::new(leases, next)))
    }

    /// Looking for a session looks at every key that somebody waits for.
    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        let cursor = query.cursor.as_ref().map(WaitsCursor::read).transpose()?;
        let limit = query.limit.get() as usize;
        let mut found = Vec::new();
        let from = cursor.as_ref().map(|cursor| &cursor.key);
        let mut keys = self.keys_waited_for(&query.of, from).into_iter();
        for key in keys.by_ref().take(KEYS_A_PAGE) {
            let begun = cursor.as_ref().filter(|cursor| cursor.key == key);
            let within = begun.and_then(|cursor| cursor.within.as_ref());
            let rest = limit - found.len();
            let page = self
                .table
                .run_known(&key, |state, step| state.waits_of(step, &query.of, within, rest));
            let page = page.value.map_err(|input| Error::invalid(Operation::WaitsOf, input))?;
            found.extend(page.items);
            if let Some(within) = page.next {
                let next = WaitsCursor { key, within: Some(within) };
                return Ok(Timed::new(self.table.now(), Page::new(found, Some(next.write()))));
            }
            if found.len() == limit {
                break;
            }
        }
        let next = keys.next().map(|key| WaitsCursor { key, within: None }.write());
        Ok(Timed::new(self.table.now(), Page::new(found, next)))
    }

    async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        let watcher = self.table.watch(filter.clone(), after);
        Ok(Box::pin(watcher.ok_or_else(|| foreign(Operation::Watch))?))
    }

    async fn health(&self) -> Result<Health> {
        Ok(Health::new("memory".to_owned(), Vec::new()))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none().with_notices().with_events()
    }
}

impl MemoryBackend {
    /// The keys from `from` on that the owner or the session waits for, a page and one more.
    fn keys_waited_for(&self, of: &WaitsOf, from: Option<&LockKey>) -> Vec<LockKey> {
        let mut keys = self.table.waits.keys(of, from, KEYS_A_PAGE + 1);
        if let WaitsOf::Session(session) = of {
            // The request that is this session, if there is one, may wait for any key.
            let request = RequestId::from_bits(session.to_bits());
            let waits = |key: &LockKey| {
                let waiter = |state: &mut KeyState, step: &mut Step| {
                    state.waiter_of(request, step.now).is_some()
                };
                from.is_none_or(|from| key >= from) && self.table.run_known(key, waiter).value
            };
            keys.extend(self.table.waits.all_keys().into_iter().filter(waits));
            keys.sort();
            keys.dedup();
            keys.truncate(KEYS_A_PAGE + 1);
        }
        keys
    }

    /// The wanted leases of a shard after one of them, at most one more than `rest`; and the number of
    /// keys in the shard.
    fn leases_of_shard(
        &self,
        shard: usize,
        query: &ListQuery,
        after: Option<&(LockKey, RequestId)>,
        rest: usize,
    ) -> (BTreeMap<(LockKey, RequestId), Lease>, usize) {
        let mut found: BTreeMap<(LockKey, RequestId), Lease> = BTreeMap::new();
        let keys = self.table.look_through(shard, |key, state, now| {
            let is_before = after.is_some_and(|(after, _)| key < after);
            if is_before || !key.as_str().starts_with(&query.prefix) {
                return;
            }
            for lease in state.leases(now).filter(|lease| query.matches(lease)) {
                let at = (key.clone(), lease.request);
                let is_full = found.len() > rest;
                let is_late = is_full && found.last_key_value().is_some_and(|(last, _)| at > *last);
                if is_late || after.is_some_and(|after| at <= *after) {
                    continue;
                }
                found.insert(at, lease.clone());
                if is_full {
                    found.pop_last();
                }
            }
        });
        (found, keys)
    }
}

/// The error of a cursor that this store did not write.
fn foreign(operation: Operation) -> Error {
    let violation = Violation::Malformed { expected: "a cursor of this store" };
    Error::invalid(operation, InvalidInput::new("cursor", violation))
}

/// Where a page of leases ended: in a shard, and after a lease of it.
#[derive(Debug, Default)]
struct ListCursor {
    shard: usize,
    after: Option<(LockKey, RequestId)>,
}

impl ListCursor {
    fn write(&self) -> Cursor {
        Cursor::new(match &self.after {
            Some((key, request)) => format!("{}.{request}{key}", self.shard),
            None => format!("{}", self.shard),
        })
    }

    fn read(cursor: &Cursor) -> Result<Self> {
        Self::parse(cursor.as_str()).ok_or_else(|| foreign(Operation::List))
    }

    fn parse(text: &str) -> Option<Self> {
        let Some((shard, after)) = text.split_once('.') else {
            return Some(Self { shard: text.parse().ok()?, after: None });
        };
        let (request, key) = after.split_at_checked(32)?;
        let after = Some((LockKey::parse(key).ok()?, RequestId::parse(request).ok()?));
        Some(Self { shard: shard.parse().ok()?, after })
    }
}

/// Where a page of waiters ended: before or within the queue of a key.
#[derive(Debug)]
struct WaitsCursor {
    key: LockKey,
    within: Option<Cursor>,
}

impl WaitsCursor {
    fn write(&self) -> Cursor {
        let within = self.within.as_ref().map_or("", Cursor::as_str);
        Cursor::new(format!("{within}/{}", self.key))
    }

    fn read(cursor: &Cursor) -> Result<Self> {
        let parse = || {
            let (within, key) = cursor.as_str().split_once('/')?;
            let within = (!within.is_empty()).then(|| Cursor::new(within.to_owned()));
            Some(Self { key: LockKey::parse(key).ok()?, within })
        };
        parse().ok_or_else(|| foreign(Operation::WaitsOf))
    }
}
