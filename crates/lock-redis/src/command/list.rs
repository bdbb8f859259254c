//! Listing leases without an index of them: a walk over the server's keys.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use lock_core::{
    Cursor, Lease, ListQuery, LockKey, Operation, Page, RequestId, Result, Timed, Timestamp,
};
use redis::Value;

use crate::error::foreign_cursor;
use crate::reply::{self, Answer};
use crate::script::{Arg, Script};
use crate::store::{Store, id};

pub(crate) static LEASES: Script = Script::whole("leases", include_str!("../scripts/leases.lua"));
pub(crate) static STATES: Script = Script::short("states", include_str!("../scripts/states.lua"));

/// Maximum number of steps of the walk for one page, however few leases it found.
pub(super) const STEPS: usize = 256;
/// The least and the most keys that the server looks at in one step.
const STRIDE: (u32, u32) = (100, 1000);
/// Number of bytes of records after which a page ends, and of one answer.
const BYTES: usize = 1 << 18;

/// Progress of a walk: the server's cursor, and the part of the next step already listed.
///
/// The server promises that a walk meets every key that is there from its beginning to its end;
/// so a step is repeated from the same cursor until all of it was shown, however it looks by then.
/// The leases of one key are walked in the same way.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) at: u64,
    /// Digests of the keys whose leases were all shown.
    shown: HashSet<u64>,
    /// The key of which a part of the leases was shown.
    begun: Option<Begun>,
}

/// Progress of the walk over the leases of a key.
#[derive(Debug)]
struct Begun {
    key: u64,
    at: u64,
    shown: Vec<RequestId>,
}

fn digest(key: &LockKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Walk {
    /// A walk whose next step begins there.
    pub(super) fn at(at: u64) -> Self {
        Self { at, ..Self::default() }
    }

    /// `at`, then `-key` for each that was shown, then `+key.at` and `.request` for each.
    pub(super) fn write(&self) -> Cursor {
        let mut text = self.at.to_string();
        for key in &self.shown {
            text.push_str(&format!("-{key:016x}"));
        }
        if let Some(begun) = &self.begun {
            text.push_str(&format!("+{:016x}.{}", begun.key, begun.at));
            for request in &begun.shown {
                text.push_str(&format!(".{request}"));
            }
        }
        Cursor::new(text)
    }

    fn read(cursor: &Cursor) -> Result<Self> {
        Self::parse(cursor.as_str()).ok_or_else(|| foreign_cursor(Operation::List))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (walk, begun) = match text.split_once('+') {
            Some((walk, begun)) => (walk, Some(Begun::parse(begun)?)),
            None => (text, None),
        };
        let mut parts = walk.split('-');
        let at = parts.next()?.parse().ok()?;
        Some(Self { at, shown: parts.map(parse_digest).collect::<Option<_>>()?, begun })
    }
}

impl Begun {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (key, at) = (parse_digest(parts.next()?)?, parts.next()?.parse().ok()?);
        let shown = parts.map(|request| RequestId::parse(request).ok()).collect::<Option<_>>()?;
        Some(Self { key, at, shown })
    }
}

fn parse_digest(text: &str) -> Option<u64> {
    if text.len() == 16 { u64::from_str_radix(text, 16).ok() } else { None }
}

/// A page in the making.
pub(super) struct Listing<'a> {
    query: &'a ListQuery,
    pub(super) now: Timestamp,
    leases: Vec<Lease>,
    /// Number of bytes that were read.
    bytes: usize,
}

/// Number of keys that the server looks at in one step.
pub(super) fn stride(query: &ListQuery) -> u32 {
    query.limit.get().clamp(STRIDE.0, STRIDE.1)
}

impl<'a> Listing<'a> {
    pub(super) const fn new(query: &'a ListQuery, now: Timestamp) -> Self {
        Self { query, now, leases: Vec::new(), bytes: 0 }
    }

    /// Number of leases that still belong on the page.
    pub(super) fn room(&self) -> usize {
        let rest = self.query.limit.get() as usize - self.leases.len();
        if self.bytes < BYTES { rest } else { 0 }
    }

    fn push(&mut self, lease: Lease) {
        if self.query.matches(&lease) {
            self.leases.push(lease);
        }
    }

    /// The page, followed by the one that begins there.
    pub(super) fn take(&mut self, next: Option<Cursor>) -> Timed<Page<Lease>> {
        Timed::new(self.now, Page::new(std::mem::take(&mut self.leases), next))
    }
}

impl Store {
    pub(crate) async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        let mut walk = query.cursor.as_ref().map(Walk::read).transpose()?.unwrap_or_default();
        let mut page = Listing::new(query, self.route.now(Operation::List).await?);
        for _ in 0..STEPS {
            let (next, keys) = self.scan(walk.at, &query.prefix, stride(query)).await?;
            if !self.list_keys(&mut walk, &mut page, keys).await? {
                return Ok(page.take(Some(walk.write())));
            }
            walk = Walk::at(next);
            if next == 0 {
                return Ok(page.take(None));
            }
            if page.room() == 0 {
                break;
            }
        }
        Ok(page.take(Some(walk.write())))
    }

    /// Lists the keys of a step that were not shown yet, as far as there is room: whether that is
    /// all of them.
    pub(super) async fn list_keys(
        &self,
        walk: &mut Walk,
        page: &mut Listing<'_>,
        mut keys: Vec<LockKey>,
    ) -> Result<bool> {
        keys.retain(|key| !walk.shown.contains(&digest(key)));
        while !keys.is_empty() {
            let states = self.states(&keys).await?;
            for (key, state) in keys.drain(..states.len()).zip(states) {
                if page.room() == 0 {
                    return Ok(false);
                }
                match self.list_key(walk, page, &key, state.as_deref()).await {
                    Ok(true) => drop(walk.shown.insert(digest(&key))),
                    Ok(false) => return Ok(false),
                    // A damaged key is no trouble of the others.
                    Err(error) if self.is_damage(&error) => {
                        walk.shown.insert(digest(&key));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(true)
    }

    /// One step of a walk over the keys that begin with `prefix`: where the next begins, and the
    /// keys.
    pub(crate) async fn scan(
        &self,
        at: u64,
        prefix: &str,
        stride: u32,
    ) -> Result<(u64, Vec<LockKey>)> {
        let failed = || self.corrupt(Operation::List);
        let mut scan = redis::cmd("SCAN");
        scan.arg(at).arg("MATCH").arg(self.keyspace.states(prefix)).arg("COUNT").arg(stride);
        let Value::Array(answer) = self.route.command(Operation::List, &scan).await? else {
            return Err(failed());
        };
        let [next, states] = <[Value; 2]>::try_from(answer).map_err(|_| failed())?;
        let next = reply::bytes(next).and_then(|text| str::from_utf8(&text).ok()?.parse().ok());
        let states = reply::list(states).ok_or_else(failed)?;
        let name = |state: &Vec<u8>| {
            LockKey::parse(self.keyspace.key_of_state(str::from_utf8(state).ok()?)?).ok()
        };
        // The server may name a key twice.
        let mut keys: Vec<_> = states.iter().filter_map(name).collect();
        keys.sort();
        keys.dedup();
        Ok((next.ok_or_else(failed)?, keys))
    }

    /// The states of the first of these keys, as many as fit one answer.
    async fn states(&self, keys: &[LockKey]) -> Result<Vec<Option<Vec<u8>>>> {
        let failed = || self.corrupt(Operation::List);
        let names: Vec<_> = keys.iter().map(|key| self.keyspace.state(key.as_str())).collect();
        let args = [Arg::Number(BYTES as u64)];
        let answer = self.route.run(Operation::List, &STATES, &names, &args).await?;
        let mut answer = Answer::new(answer).ok_or_else(failed)?;
        answer.time().ok_or_else(failed)?;
        let states: Vec<_> = answer.rest().into_iter().map(reply::bytes).collect();
        if (1..=keys.len()).contains(&states.len()) { Ok(states) } else { Err(failed()) }
    }

    /// Lists the leases of a key that were not shown yet, as far as there is room: whether that is
    /// all of them.
    async fn list_key(
        &self,
        walk: &mut Walk,
        page: &mut Listing<'_>,
        key: &LockKey,
        state: Option<&[u8]>,
    ) -> Result<bool> {
        let failed = || self.corrupt(Operation::List).with_key(key.clone());
        let Some(state) = state else { return Ok(true) };
        let begun = walk.begun.take_if(|begun| begun.key == digest(key));
        // A lease that is alone and alive is all there is; else the key must be settled first.
        if let [b'1', text @ ..] = state {
            let lease = reply::lease(text, key).ok_or_else(failed)?;
            if !lease.is_over(page.now) {
                page.bytes += state.len();
                if begun.is_none_or(|begun| !begun.shown.contains(&lease.request)) {
                    page.push(lease);
                }
                return Ok(true);
            }
        }
        let mut begun =
            begun.unwrap_or_else(|| Begun { key: digest(key), at: 0, shown: Vec::new() });
        loop {
            // At first there is room, whatever the size of the state: every page leads on.
            let room = page.room();
            if room == 0 {
                walk.begun = Some(begun);
                return Ok(false);
            }
            let (leases, next) = self.leases(key, &begun, room).await?;
            for (lease, bytes) in leases {
                page.bytes += bytes;
                begun.shown.push(lease.request);
                page.push(lease);
            }
            match next {
                Some(0) => {
                    page.bytes += state.len();
                    return Ok(true);
                }
                Some(next) => begun = Begun { at: next, shown: Vec::new(), ..begun },
                None => {}
            }
        }
    }

    /// Leases of a key with their bytes, and where the walk over them goes on; `None` when it stays
    /// where it is.
    async fn leases(
        &self,
        key: &LockKey,
        begun: &Begun,
        limit: usize,
    ) -> Result<(Vec<(Lease, usize)>, Option<u64>)> {
        let at = begun.at.to_string();
        let shown: Vec<_> = begun.shown.iter().map(|request| id(*request)).collect();
        let numbers = [limit, shown.len()].map(|number| Arg::Number(number as u64));
        let mut args = vec![Arg::Text(&at)];
        args.extend(numbers);
        args.extend(shown.iter().map(|request| Arg::Bytes(request)));
        let read = |mut answer: Answer| {
            let texts = answer.list()?;
            let lease = |text: &Vec<u8>| Some((reply::lease(text, key)?, text.len()));
            let leases = texts.iter().map(lease).collect::<Option<Vec<_>>>()?;
            let next = match answer.bytes()?.as_slice() {
                [] => None,
                next => Some(str::from_utf8(next).ok()?.parse().ok()?),
            };
            Some((leases, next))
        };
        let leases = self.run(Operation::List, &LEASES, key, &args, read).await?;
        Ok(leases.value)
    }
}
