//! Listing leases without an index of them: a walk over the server's keys.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use lock_core::{
    Cursor, Lease, ListQuery, LockKey, Operation, Page, RequestId, Result, Timed, Timestamp,
};
use redis::Value;

use crate::commands::Shared;
use crate::error::foreign_cursor;
use crate::reply::{self, Answer};
use crate::script::{Arg, Script};

/// Maximum number of steps of the walk for one page, however few leases it found.
const STEPS: usize = 256;
/// The least and the most keys that the server looks at in one step.
const STRIDE: (u32, u32) = (100, 1000);

/// How far a walk has come: the server's own cursor, and what was shown of the step that follows.
///
/// The server promises that a walk meets every key that is there from its beginning to its end;
/// so a step is repeated from the same cursor until all of it was shown, however it looks by then.
#[derive(Debug, Default)]
struct Walk {
    at: u64,
    /// Digests of the keys whose leases were all shown.
    shown: HashSet<u64>,
    /// Of this key, the leases up to this request were shown.
    begun: Option<(u64, RequestId)>,
}

fn digest(key: &LockKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Walk {
    fn write(&self) -> Cursor {
        let mut text = format!("{}", self.at);
        if let Some((key, request)) = self.begun {
            text.push_str(&format!("+{key:016x}{request}"));
        }
        for key in &self.shown {
            text.push_str(&format!("-{key:016x}"));
        }
        Cursor::new(text)
    }

    fn read(cursor: &Cursor) -> Result<Self> {
        Self::parse(cursor.as_str()).ok_or_else(|| foreign_cursor(Operation::List))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let head = parts.next()?;
        let key = |text: &str| match text.len() {
            16 => u64::from_str_radix(text, 16).ok(),
            _ => None,
        };
        let (at, begun) = match head.split_once('+') {
            None => (head, None),
            Some((at, begun)) => {
                let (begun, request) = begun.split_at_checked(16)?;
                (at, Some((key(begun)?, RequestId::parse(request).ok()?)))
            }
        };
        let shown = parts.map(key).collect::<Option<_>>()?;
        Some(Self { at: at.parse().ok()?, shown, begun })
    }
}

impl Shared {
    pub(crate) async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        let mut walk = query.cursor.as_ref().map(Walk::read).transpose()?.unwrap_or_default();
        let limit = query.limit.get() as usize;
        let now = self.connection.now(Operation::List).await?;
        let mut leases = Vec::new();
        for _ in 0..STEPS {
            let (next, keys) = self.step(&walk, query).await?;
            for (key, state) in keys {
                let digest = digest(&key);
                if walk.shown.contains(&digest) {
                    continue;
                }
                let begun = walk.begun.filter(|(key, _)| *key == digest);
                let mut after = begun.map(|(_, request)| request);
                loop {
                    let rest = limit - leases.len();
                    let found = self.leases(&key, state.as_deref(), now, after, rest + 1).await?;
                    let is_all = found.len() <= rest;
                    for lease in found.into_iter().take(rest) {
                        after = Some(lease.request);
                        if query.matches(&lease) {
                            leases.push(lease);
                        }
                    }
                    if is_all {
                        break;
                    }
                    if leases.len() == limit {
                        walk.begun = after.map(|request| (digest, request));
                        return Ok(Timed::new(now, Page::new(leases, Some(walk.write()))));
                    }
                }
                walk.shown.insert(digest);
            }
            walk = Walk { at: next, ..Walk::default() };
            if next == 0 {
                return Ok(Timed::new(now, Page::new(leases, None)));
            }
            if leases.len() == limit {
                break;
            }
        }
        Ok(Timed::new(now, Page::new(leases, Some(walk.write()))))
    }

    /// One step of the walk: the next cursor, and the keys with their states.
    async fn step(
        &self,
        walk: &Walk,
        query: &ListQuery,
    ) -> Result<(u64, Vec<(LockKey, Option<Vec<u8>>)>)> {
        let failed = || self.corrupt(Operation::List);
        let stride = query.limit.get().clamp(STRIDE.0, STRIDE.1);
        let mut scan = redis::cmd("SCAN");
        scan.arg(walk.at).arg("MATCH").arg(self.layout.states(&query.prefix));
        scan.arg("COUNT").arg(stride);
        let Value::Array(answer) = self.connection.command(Operation::List, &scan).await? else {
            return Err(failed());
        };
        let [next, states] = <[Value; 2]>::try_from(answer).map_err(|_| failed())?;
        let next = reply::bytes(next).and_then(|text| str::from_utf8(&text).ok()?.parse().ok());
        let states = reply::list(states).ok_or_else(failed)?;
        let name = |state: &Vec<u8>| {
            LockKey::parse(self.layout.key_of_state(str::from_utf8(state).ok()?)?).ok()
        };
        // The server may name a key twice.
        let mut named: Vec<_> = states.iter().filter_map(name).collect();
        named.sort();
        named.dedup();
        let keys = if named.is_empty() { Vec::new() } else { self.states(named).await? };
        Ok((next.ok_or_else(failed)?, keys))
    }

    async fn states(&self, keys: Vec<LockKey>) -> Result<Vec<(LockKey, Option<Vec<u8>>)>> {
        let mut get = redis::cmd("MGET");
        for key in &keys {
            get.arg(self.layout.state(key.as_str()));
        }
        match self.connection.command(Operation::List, &get).await? {
            Value::Array(states) if states.len() == keys.len() => {
                Ok(keys.into_iter().zip(states.into_iter().map(reply::bytes)).collect())
            }
            _ => Err(self.corrupt(Operation::List)),
        }
    }

    /// The leases of a key after one of them, in the order of their requests.
    async fn leases(
        &self,
        key: &LockKey,
        state: Option<&[u8]>,
        now: Timestamp,
        after: Option<RequestId>,
        limit: usize,
    ) -> Result<Vec<Lease>> {
        let failed = || self.corrupt(Operation::List).with_key(key.clone());
        let Some(state) = state else { return Ok(Vec::new()) };
        // A lease that is alone and alive is all there is; else the key must be settled first, and a
        // dead one is swept thereby.
        if let [b'1', text @ ..] = state {
            let lease = reply::lease(text, key).ok_or_else(failed)?;
            if !lease.is_over(now) {
                let is_shown = after.is_none_or(|after| lease.request > after);
                return Ok(is_shown.then_some(lease).into_iter().collect());
            }
        }
        let after = after.map(RequestId::to_bits).map(u128::to_be_bytes);
        let args =
            [Arg::Bytes(after.as_ref().map_or(&[], |after| &after[..])), Arg::Number(limit as u64)];
        let read = |mut answer: Answer| {
            let texts = answer.list()?;
            texts.iter().map(|text| reply::lease(text, key)).collect::<Option<Vec<_>>>()
        };
        let leases = self.run(Operation::List, Script::Leases, key, &args, read).await?;
        Ok(leases.value)
    }
}
