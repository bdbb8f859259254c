//! What the clones of a store share, and the commands as they go to the server.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use lock_core::{
    AcquireRequest, Acquisition, Capabilities, FencingToken, KeepAlive, Lease, LockKey, OnHeld,
    Operation, Release, ReleaseRequest, RenewRequest, Renewal, RequestId, Result, Timestamp,
    WaitRequest, Wake,
};
use redis::Value;

use crate::config::RedisConfig;
use crate::connection::Connection;
use crate::error::{again, corrupt};
use crate::layout::Layout;
use crate::notify::Sleepers;
use crate::reply::{self, Answer};
use crate::script::{Arg, Script};
use crate::terms::{self, Terms, millis, ttl_millis};

/// How many keys are remembered as sought after.
const SOUGHT: usize = 4096;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connection: Connection,
    pub(crate) client: redis::Client,
    pub(crate) config: RedisConfig,
    pub(crate) layout: Arc<Layout>,
    pub(crate) capabilities: Capabilities,
    pub(crate) sleepers: Arc<Sleepers>,
    pub(crate) process: [u8; 8],
    /// Keys that somebody waited for when they were last used: the short scripts would only say
    /// that they cannot decide.
    pub(crate) sought: Mutex<HashSet<LockKey>>,
}

impl Shared {
    pub(crate) fn journal(&self) -> u64 {
        self.config.journal.map_or(0, |entries| u64::from(entries.get()))
    }

    /// Runs a script on one lock: all that it needs to know besides, after the journal and the key.
    pub(crate) async fn run(
        &self,
        operation: Operation,
        script: Script,
        key: &LockKey,
        args: &[Arg<'_>],
    ) -> Result<Value> {
        let keys = [&self.layout.shared()[..], &self.layout.lock(key)].concat();
        let mut all = vec![Arg::Number(self.journal()), Arg::Text(key.as_str())];
        all.extend(args.iter().copied());
        let answer = self.connection.run(operation, script, &keys, &all).await;
        answer.map_err(|error| error.with_key(key.clone()))
    }

    /// Whether a short script may be able to decide.
    pub(crate) fn may_be_simple(&self, key: &LockKey) -> bool {
        // The short scripts write no journal.
        let sought = self.sought.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.journal.is_none() && (sought.is_empty() || !sought.contains(key))
    }

    pub(crate) fn note_sought(&self, key: &LockKey, is_sought: bool) {
        let mut sought = self.sought.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_sought {
            sought.remove(key);
        } else if sought.len() < SOUGHT {
            sought.insert(key.clone());
        }
    }

    pub(crate) async fn acquire_free(
        &self,
        asked: &AcquireRequest,
        terms: &[u8],
    ) -> Result<Option<Acquisition>> {
        let keys = [self.layout.state(asked.key.as_str()), self.layout.token()];
        let lease = alone(asked.request);
        let terms = [b"0", terms].concat();
        let ttl = ttl_millis(asked.ttl) * 1000;
        let args = [Arg::Bytes(&lease), Arg::Number(ttl), Arg::Bytes(&terms)];
        let answer = self.connection.run(Operation::Acquire, Script::AcquireFree, &keys, &args);
        let answer = answer.await.map_err(|error| error.with_key(asked.key.clone()))?;
        let granted = match answer {
            Value::Nil => return Ok(None),
            Value::Int(_) => reply::number(&answer).map(|now| (now, now)),
            pair => Answer::new(pair).and_then(|mut pair| Some((pair.number()?, pair.number()?))),
        };
        let lease = granted.and_then(|(now, token)| {
            let token = FencingToken::new(token)?;
            Some(Lease::granted(asked, token, Timestamp::from_micros(now)))
        });
        let lease = lease.ok_or_else(|| corrupt(Operation::Acquire).with_key(asked.key.clone()))?;
        Ok(Some(Acquisition::Granted(lease)))
    }

    pub(crate) async fn acquire(
        &self,
        asked: &AcquireRequest,
        terms: &[u8],
    ) -> Result<(Acquisition, bool)> {
        let (keep_alive, limit) = match asked.on_held {
            OnHeld::Queue { keep_alive, queue_limit } => {
                (millis(keep_alive.span()), queue_limit.map_or(0, |limit| u64::from(limit.get())))
            }
            _ => (0, 0),
        };
        let request = asked.request.to_bits().to_be_bytes();
        let mode = terms::mode_word(asked.mode);
        let args = [
            Arg::Bytes(&request),
            Arg::Bytes(terms),
            Arg::Text(&mode),
            Arg::Text(asked.owner.as_str()),
            Arg::Number(ttl_millis(asked.ttl) * 1000),
            Arg::Number(millis(asked.head_start.span())),
            Arg::Number(keep_alive),
            Arg::Number(limit),
            Arg::Bytes(&self.process),
        ];
        let answer = self.run(Operation::Acquire, Script::Acquire, &asked.key, &args).await?;
        let read = |mut answer: Answer| {
            let key = &asked.key;
            Some(match answer.bytes()?.as_slice() {
                b"granted" => {
                    answer.time()?;
                    (Acquisition::Granted(answer.lease(key)?), false)
                }
                b"joined" => (Acquisition::Queued(answer.place(key)?), true),
                b"queued" => (Acquisition::Queued(answer.place(key)?), false),
                b"held" => (Acquisition::Held(answer.place(key)?), false),
                b"full" => (Acquisition::QueueFull(answer.place(key)?), false),
                _ => return None,
            })
        };
        let answer = Answer::new(answer).and_then(read);
        answer.ok_or_else(|| corrupt(Operation::Acquire).with_key(asked.key.clone()))
    }

    /// Ends a lease that is alone; nothing when only the whole command can decide.
    pub(crate) async fn release_alone(&self, held: &ReleaseRequest) -> Result<Option<Release>> {
        let keys = [self.layout.state(held.key.as_str())];
        let lease = alone(held.request);
        let args = [Arg::Bytes(&lease)];
        let run = self.connection.run(Operation::Release, Script::ReleaseAlone, &keys, &args);
        match run.await.map_err(|error| error.with_key(held.key.clone()))? {
            Value::Nil => Ok(None),
            answer => released(&answer, &held.key).map(Some),
        }
    }

    pub(crate) async fn release(&self, held: &ReleaseRequest) -> Result<Release> {
        let request = held.request.to_bits().to_be_bytes();
        let args = [Arg::Bytes(&request)];
        let answer = self.run(Operation::Release, Script::Release, &held.key, &args).await?;
        released(&answer, &held.key)
    }

    pub(crate) async fn listen(&self, awaited: &WaitRequest) -> Result<Option<Wake>> {
        let name = (awaited.request, awaited.key.clone());
        let keep_alive = KeepAlive::parse(KeepAlive::MAX).unwrap_or_default();
        self.sleepers.expect(name.clone(), keep_alive);
        let request = awaited.request.to_bits().to_be_bytes();
        let args = [Arg::Bytes(&request), Arg::Bytes(&self.process)];
        let answer = self.run(Operation::Wait, Script::Listen, &awaited.key, &args).await;
        let read = |mut answer: Answer| {
            Some(match answer.bytes()?.as_slice() {
                b"granted" => Some(Wake::Granted(answer.lease(&awaited.key)?)),
                b"waiting" => {
                    self.sleepers.joined(&name, Terms::parse(&answer.bytes()?)?);
                    None
                }
                b"absent" => Some(Wake::AskAgain),
                _ => return None,
            })
        };
        let wake = answer.and_then(|answer| {
            let wake = Answer::new(answer).and_then(read);
            wake.ok_or_else(|| corrupt(Operation::Wait).with_key(awaited.key.clone()))
        });
        if !matches!(wake, Ok(None)) {
            self.sleepers.forget(&name);
        }
        wake
    }

    /// Renews leases by one command.
    pub(crate) async fn renew(&self, renewals: &[RenewRequest]) -> Vec<Result<Renewal>> {
        let mut keys = self.layout.shared().to_vec();
        let requests: Vec<_> =
            renewals.iter().map(|renewal| renewal.request.to_bits().to_be_bytes()).collect();
        let mut args = vec![Arg::Number(self.journal()), Arg::Text("")];
        for (renewal, request) in renewals.iter().zip(&requests) {
            keys.extend(self.layout.lock(&renewal.key));
            args.push(Arg::Text(renewal.key.as_str()));
            args.push(Arg::Bytes(request));
            args.push(Arg::Number(ttl_millis(renewal.ttl)));
        }
        let answer = self.connection.run(Operation::Renew, Script::Renew, &keys, &args).await;
        let answers = match answer {
            Ok(Value::Array(answers)) if answers.len() == renewals.len() => answers,
            Ok(_) => {
                let failed =
                    |it: &RenewRequest| Err(corrupt(Operation::Renew).with_key(it.key.clone()));
                return renewals.iter().map(failed).collect();
            }
            Err(error) => {
                let failed = |it: &RenewRequest| Err(again(&error).with_key(it.key.clone()));
                return renewals.iter().map(failed).collect();
            }
        };
        let read = |(renewal, answer): (&RenewRequest, Value)| match answer {
            Value::Nil => Ok(Renewal::NotHeld),
            text => reply::bytes(text)
                .and_then(|text| reply::lease(&text, &renewal.key))
                .map(Renewal::Renewed)
                .ok_or_else(|| corrupt(Operation::Renew).with_key(renewal.key.clone())),
        };
        renewals.iter().zip(answers).map(read).collect()
    }
}

fn released(answer: &Value, key: &LockKey) -> Result<Release> {
    match answer {
        Value::Int(1) => Ok(Release::Released),
        Value::Int(0) => Ok(Release::NotHeld),
        _ => Err(corrupt(Operation::Release).with_key(key.clone())),
    }
}

/// How the state of a key begins whose only lease is of this request.
fn alone(request: RequestId) -> [u8; 17] {
    let mut state = [b'1'; 17];
    state[1..].copy_from_slice(&request.to_bits().to_be_bytes());
    state
}
