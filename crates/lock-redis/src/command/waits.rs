//! The waiters of an owner or a session.

use std::sync::Arc;

use lock_core::{
    Cursor, Error, ErrorKind, LockKey, Operation, Page, RequestId, Result, Timed, Waiter, WaitsOf,
    WaitsQuery,
};
use redis::Value;
use tokio::task::JoinSet;

use crate::batch::{Batch, Item};
use crate::error::foreign_cursor;
use crate::reply;
use crate::script::Script;
use crate::shards::Shards;
use crate::store::{Store, id};

pub(crate) static WAITERS: Script =
    Script::whole("waiters", include_str!("../scripts/waiters.lua"));

/// Maximum number of waiters on one page.
const PAGE: usize = 1000;

impl Shards {
    pub(crate) async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        match self.single() {
            Some(store) => store.waits_of(query).await,
            None => self.waits_of_all(query).await,
        }
    }

    /// The waiters of all shards, one shard after another: all are asked at once.
    async fn waits_of_all(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        let limit = (query.limit.get() as usize).min(PAGE);
        let shards = self.stores.len();
        let begun = query.cursor.as_ref().map(|cursor| begun(cursor, shards)).transpose()?;
        let (from, mut after) = begun.unwrap_or((0, None));
        let mut asked = JoinSet::new();
        for (shard, store) in self.stores.iter().enumerate().skip(from) {
            let mut query = query.clone();
            query.cursor = after.take();
            let store = Arc::clone(store);
            asked.spawn(async move { (shard, store.waits_of(&query).await) });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by_key(|(shard, _)| *shard);
        let (mut waiters, mut now) = (Vec::new(), None);
        for (shard, answer) in answers {
            let Timed { observed_at, value: page, .. } = answer?;
            now = now.max(Some(observed_at));
            let room = limit - waiters.len();
            if page.items.len() > room {
                let rest = page.items.into_iter().take(room);
                let mut last = query.cursor.as_ref().filter(|_| shard == from).cloned();
                for waiter in rest {
                    let wait = Wait { key: waiter.key.clone(), request: waiter.request };
                    last = Some(next(shard, &wait.write()));
                    waiters.push(waiter);
                }
                let last = last.unwrap_or_else(|| next(shard, &Cursor::new(String::new())));
                return Ok(Timed::new(observed_at, Page::new(waiters, Some(last))));
            }
            waiters.extend(page.items);
            if let Some(cursor) = page.next {
                return Ok(Timed::new(observed_at, Page::new(waiters, Some(next(shard, &cursor)))));
            }
        }
        let now = now.ok_or_else(|| foreign_cursor(Operation::WaitsOf))?;
        Ok(Timed::new(now, Page::new(waiters, None)))
    }
}

/// A place in a shard, as a cursor of the store; an empty one is its beginning.
fn next(shard: usize, cursor: &Cursor) -> Cursor {
    Cursor::new(format!("{shard}:{}", cursor.as_str()))
}

/// The shard and the place in it that a cursor means.
fn begun(cursor: &Cursor, shards: usize) -> Result<(usize, Option<Cursor>)> {
    let parse = || {
        let (shard, after) = cursor.as_str().split_once(':')?;
        let shard = shard.parse().ok().filter(|shard| *shard < shards)?;
        Some((shard, (!after.is_empty()).then(|| Cursor::new(after.to_owned()))))
    };
    parse().ok_or_else(|| foreign_cursor(Operation::WaitsOf))
}

impl Store {
    async fn waits_of(self: &Arc<Self>, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        let limit = (query.limit.get() as usize).min(PAGE);
        let after = query.cursor.as_ref().map(Wait::parse).transpose()?;
        let mut waits = self.waits_after(&query.of, after, limit + 1).await?;
        let is_last = waits.len() <= limit;
        waits.truncate(limit);
        let next = waits.last().filter(|_| !is_last).map(Wait::write);
        let item = |wait: Wait| Item { key: wait.key, args: vec![id(wait.request).to_vec()] };
        let batch = Batch { operation: Operation::WaitsOf, script: &WAITERS, read: waiter };
        let (mut waiters, mut observed_at) = (Vec::new(), None);
        for waiter in self.run_all(batch, waits.into_iter().map(item).collect()).await {
            let waiter = match waiter {
                // A damaged key is no trouble of the others.
                Err(error) if self.is_damage(&error) => continue,
                waiter => waiter?,
            };
            observed_at = Some(waiter.observed_at);
            waiters.extend(waiter.value);
        }
        let now = match observed_at {
            Some(now) => now,
            None => self.route.now(Operation::WaitsOf).await?,
        };
        Ok(Timed::new(now, Page::new(waiters, next)))
    }

    /// The entries of the index of waiters that follow.
    async fn waits_after(
        &self,
        of: &WaitsOf,
        after: Option<Wait>,
        limit: usize,
    ) -> Result<Vec<Wait>> {
        let corrupt = || self.corrupt(Operation::WaitsOf);
        let prefix = match of {
            WaitsOf::Owner(owner) => [b"o", owner.as_str().as_bytes(), b"\0"].concat(),
            WaitsOf::Session(session) => [&b"s"[..], &session.to_bits().to_be_bytes()].concat(),
            _ => return Err(Error::new(ErrorKind::Unsupported, Operation::WaitsOf)),
        };
        let first = match after {
            Some(after) => [b"(", &prefix[..], &after.entry()].concat(),
            None => [b"[", &prefix[..]].concat(),
        };
        // No key begins with this byte, which is none of UTF-8.
        let end = [b"(", &prefix[..], b"\xff"].concat();
        let mut range = redis::cmd("ZRANGEBYLEX");
        range.arg(self.keyspace.waits()).arg(first).arg(end);
        range.arg("LIMIT").arg(0).arg(limit);
        let entries = self.route.command(Operation::WaitsOf, &range).await?;
        let entries = reply::list(entries).ok_or_else(corrupt)?;
        let read = |entry: &Vec<u8>| Wait::read(entry.strip_prefix(&prefix[..])?);
        entries.iter().map(read).collect::<Option<_>>().ok_or_else(corrupt)
    }
}

fn waiter(key: &LockKey, value: Value) -> Option<Option<Waiter>> {
    match value {
        Value::Int(0) => Some(None),
        text => reply::waiter(&reply::bytes(text)?, key).map(Some),
    }
}

/// An entry of the index of waiters, of one owner or session.
#[derive(Debug)]
struct Wait {
    key: LockKey,
    request: RequestId,
}

impl Wait {
    fn entry(&self) -> Vec<u8> {
        [self.key.as_str().as_bytes(), b"\0", &self.request.to_bits().to_be_bytes()].concat()
    }

    fn read(entry: &[u8]) -> Option<Self> {
        let (key, request) = entry.split_at_checked(entry.len().checked_sub(16)?)?;
        let key = LockKey::parse(str::from_utf8(key.strip_suffix(b"\0")?).ok()?).ok()?;
        Some(Self { key, request: reply::request(request)? })
    }

    fn write(&self) -> Cursor {
        Cursor::new(format!("{}{}", self.request, self.key))
    }

    fn parse(cursor: &Cursor) -> Result<Self> {
        let parse = || {
            let (request, key) = cursor.as_str().split_at_checked(32)?;
            let (request, key) = (RequestId::parse(request).ok()?, LockKey::parse(key).ok()?);
            Some(Self { key, request })
        };
        parse().ok_or_else(|| foreign_cursor(Operation::WaitsOf))
    }
}
