//! The inspector.

use async_trait::async_trait;
use lock_core::machine::{KeyState, Step};
use lock_core::{
    Capabilities, Cursor, Error, EventCursor, EventFilter, EventStream, FencingToken, Health,
    InspectQuery, Inspection, InvalidInput, Lease, ListQuery, LockInspector, LockKey, Operation,
    Page, RequestId, Result, Timed, Timestamp, Violation, Waiter, WaitsOf, WaitsQuery,
};

use crate::backend::MemoryBackend;

/// The number of keys from which on a page looks at no more.
const KEYS_A_PAGE: usize = 256;
/// Maximum number of leases that a page looks at.
const LEASES_A_PAGE: usize = 1000;

/// Leases are listed shard by shard, in the order of their keys and tokens within each. A page
/// looks through few shards, of which each has a 1,024th of all keys, and at a thousand leases.
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
        let ListCursor { mut shard, mut after } = cursor;
        let (mut found, mut keys_seen) = (Found::new(query), 0);
        let next = loop {
            let begun = after.take();
            let look = self.table.look_through(shard, |keys, now| {
                keys_seen += keys.len();
                found.look_at(keys, begun.as_ref(), now)
            });
            if let Look::Stopped(after) = look {
                break Some(ListCursor { shard, after });
            }
            shard += 1;
            if !self.table.has_shard(shard) {
                break None;
            }
            if found.is_full() || keys_seen >= KEYS_A_PAGE {
                break Some(ListCursor { shard, after: None });
            }
        };
        let next = next.map(|next| next.write());
        Ok(Timed::new(self.table.now(), Page::new(found.leases, next)))
    }

    /// A query for a session reads every key with a queue.
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
}

/// The leases of a page, while it is made.
struct Found<'a> {
    query: &'a ListQuery,
    leases: Vec<Lease>,
    looked_at: usize,
}

/// Where the leases of a shard that a page has looked at end.
enum Look {
    /// With the last of the shard.
    Ended,
    /// After this lease, or before the first.
    Stopped(Option<(LockKey, FencingToken)>),
}

impl<'a> Found<'a> {
    const fn new(query: &'a ListQuery) -> Self {
        Self { query, leases: Vec::new(), looked_at: 0 }
    }

    /// Returns `true` if no further lease may be examined.
    fn is_full(&self) -> bool {
        self.leases.len() == self.query.limit.get() as usize || self.looked_at == LEASES_A_PAGE
    }

    /// Adds the leases of a shard that are wanted, after one of them.
    fn look_at(
        &mut self,
        mut keys: Vec<(&LockKey, &KeyState)>,
        after: Option<&(LockKey, FencingToken)>,
        now: Timestamp,
    ) -> Look {
        keys.retain(|(key, _)| {
            key.as_str().starts_with(&self.query.prefix)
                && after.is_none_or(|(after, _)| *key >= after)
        });
        keys.sort_unstable_by_key(|(key, _)| *key);
        let mut last = after.map(|(key, token)| (key, *token));
        for (key, state) in keys {
            let begun = after.filter(|(after, _)| after == key).map(|(_, token)| *token);
            for lease in state.leases_after(begun, now) {
                if self.is_full() {
                    return Look::Stopped(last.map(|(key, token)| (key.clone(), token)));
                }
                self.looked_at += 1;
                last = Some((key, lease.token));
                if self.query.matches(lease) {
                    self.leases.push(lease.clone());
                }
            }
        }
        Look::Ended
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
    after: Option<(LockKey, FencingToken)>,
}

impl ListCursor {
    fn write(&self) -> Cursor {
        Cursor::new(match &self.after {
            Some((key, token)) => format!("{}.{token}/{key}", self.shard),
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
        let (token, key) = after.split_once('/')?;
        let after = Some((LockKey::parse(key).ok()?, FencingToken::new(token.parse().ok()?)?));
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
