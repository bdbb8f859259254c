//! What can be seen of the store.

use async_trait::async_trait;
use lock_core::{
    Capabilities, Cursor, Error, ErrorKind, EventCursor, EventFilter, EventStream, Health,
    InspectQuery, Inspection, Lease, ListQuery, LockInspector, LockKey, Operation, Page, RequestId,
    Result, Timed, Waiter, WaitsOf, WaitsQuery,
};

use crate::backend::RedisBackend;
use crate::error::foreign_cursor;
use crate::health::health;
use crate::reply::{self, Answer, text};
use crate::script::{Arg, Script};

/// Maximum number of waiters on one page of an owner's or a session's waiters.
const WAITS: usize = 1000;

/// Leases are listed in no order; a page takes time in proportion to all keys of the server's
/// database, little for each.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockInspector for RedisBackend {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        let key = &query.key;
        let foreign = || foreign_cursor(Operation::Inspect).with_key(key.clone());
        let after = query.cursor.as_ref().map(|cursor| Turn::parse(cursor).ok_or_else(foreign));
        let after = after.transpose()?;
        let rank = after.as_ref().map_or_else(String::new, |turn| turn.rank.to_string());
        let member = after.as_ref().map_or(&[][..], |turn| &turn.member);
        let args = [Arg::Number(query.shown() as u64), Arg::Text(&rank), Arg::Bytes(member)];
        let read = |mut answer: Answer| {
            let (holders, leases) = (answer.number()?, answer.list()?);
            let (waiting, waiters) = (answer.number()?, answer.list()?);
            let next = match (answer.bytes()?, answer.bytes()?) {
                (_, member) if member.is_empty() => None,
                (rank, member) => Some(Turn::read(&rank, &member)?.write()),
            };
            let leases =
                leases.iter().map(|text| reply::lease(text, key)).collect::<Option<_>>()?;
            let waiters = waiters.iter().map(|text| reply::waiter(text, key));
            let waiters = waiters.collect::<Option<_>>()?;
            let inspection = Inspection::free(key.clone()).with_leases(holders, leases);
            Some(inspection.with_waiters(waiting, Page::new(waiters, next)))
        };
        self.shared.run(Operation::Inspect, Script::Inspect, key, &args, read).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        self.shared.list(query).await
    }

    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        let limit = (query.limit.get() as usize).min(WAITS);
        let after = query.cursor.as_ref().map(Wait::parse).transpose()?;
        let mut waits = self.waits_after(&query.of, after, limit + 1).await?;
        let is_last = waits.len() <= limit;
        waits.truncate(limit);
        let next = waits.last().filter(|_| !is_last).map(Wait::write);
        let requests = waits.into_iter().map(|wait| (wait.key, wait.request)).collect();
        let (mut waiters, mut observed_at) = (Vec::new(), None);
        for waiter in self.shared.waiters(requests).await {
            let waiter = match waiter {
                // A damaged key is no trouble of the others.
                Err(error) if self.shared.is_damage(&error) => continue,
                waiter => waiter?,
            };
            observed_at = Some(waiter.observed_at);
            waiters.extend(waiter.value);
        }
        let now = match observed_at {
            Some(now) => now,
            None => self.shared.connection.now(Operation::WaitsOf).await?,
        };
        Ok(Timed::new(now, Page::new(waiters, next)))
    }

    async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        self.shared.watch(filter, after).await
    }

    async fn health(&self) -> Result<Health> {
        let info = redis::cmd("INFO");
        let answer = self.shared.connection.command(Operation::Health, &info).await?;
        let info = text(&answer).ok_or_else(|| self.shared.corrupt(Operation::Health))?;
        let damaged = self.shared.damaged();
        Ok(health(info, &self.shared.config, &damaged))
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities
    }
}

impl RedisBackend {
    /// The entries of the index of waiters that follow.
    async fn waits_after(
        &self,
        of: &WaitsOf,
        after: Option<Wait>,
        limit: usize,
    ) -> Result<Vec<Wait>> {
        let shared = &self.shared;
        let corrupt = || shared.corrupt(Operation::WaitsOf);
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
        range.arg(shared.layout.waits()).arg(first).arg(end);
        range.arg("LIMIT").arg(0).arg(limit);
        let entries = shared.connection.command(Operation::WaitsOf, &range).await?;
        let entries = reply::list(entries).ok_or_else(corrupt)?;
        let read = |entry: &Vec<u8>| Wait::read(entry.strip_prefix(&prefix[..])?);
        entries.iter().map(read).collect::<Option<_>>().ok_or_else(corrupt)
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

/// Where a waiter stands in its queue: a member of the sorted set and its score.
#[derive(Debug)]
struct Turn {
    rank: i64,
    member: [u8; 22],
}

impl Turn {
    fn read(rank: &[u8], member: &[u8]) -> Option<Self> {
        let rank = str::from_utf8(rank).ok()?.parse().ok()?;
        Some(Self { rank, member: member.try_into().ok()? })
    }

    fn write(&self) -> Cursor {
        let (arrival, request) = self.member.split_at(6);
        let request = request.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte));
        let (rank, arrival) = (self.rank, reply::six_bytes(arrival));
        Cursor::new(format!("{rank:x}.{arrival:x}.{}", RequestId::from_bits(request)))
    }

    fn parse(cursor: &Cursor) -> Option<Self> {
        let mut parts = cursor.as_str().splitn(3, '.');
        let rank = i64::from_str_radix(parts.next()?, 16).ok()?;
        let arrival = u64::from_str_radix(parts.next()?, 16).ok()?.to_be_bytes();
        let request = RequestId::parse(parts.next()?).ok()?.to_bits().to_be_bytes();
        let arrival = arrival.strip_prefix(&[0, 0])?;
        Some(Self { rank, member: [arrival, &request].concat().try_into().ok()? })
    }
}
