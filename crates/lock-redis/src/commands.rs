//! What the clones of a store share, and the commands of one lock as they go to the server.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lock_core::{
    AcquireRequest, Acquisition, Capabilities, Error, ErrorKind, FencingToken, Lease, LeaseName,
    LockKey, MailboxId, OnHeld, Operation, Release, RequestId, Result, Timed, Timestamp,
};
use redis::Value;

use crate::config::RedisConfig;
use crate::connection::Connection;
use crate::contended::Contended;
use crate::end;
use crate::error::corrupt;
use crate::layout::Layout;
use crate::notify::Mailboxes;
use crate::record::GRACE;
use crate::reply::{self, Answer};
use crate::script::{Arg, Script};
use crate::subscription::Subscription;
use crate::terms::{self, millis, ttl_millis};

/// Maximum number of damaged keys that are remembered.
const DAMAGED: usize = 100;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connection: Connection,
    pub(crate) client: redis::Client,
    pub(crate) config: RedisConfig,
    pub(crate) layout: Arc<Layout>,
    pub(crate) capabilities: Capabilities,
    pub(crate) mailboxes: Arc<Mailboxes>,
    /// The connection of the mailboxes, from the first that is opened on.
    pub(crate) subscription: OnceLock<Arc<Subscription>>,
    pub(crate) contended: Contended,
    /// Keys that were found damaged.
    damaged: Mutex<BTreeSet<LockKey>>,
}

impl Shared {
    pub(crate) fn new(
        connection: Connection,
        client: redis::Client,
        config: RedisConfig,
        layout: Arc<Layout>,
        capabilities: Capabilities,
        mailboxes: Arc<Mailboxes>,
    ) -> Self {
        Self {
            connection,
            client,
            config,
            layout,
            capabilities,
            mailboxes,
            subscription: OnceLock::new(),
            contended: Contended::default(),
            damaged: Mutex::default(),
        }
    }

    pub(crate) fn journal(&self) -> u64 {
        self.config.journal.map_or(0, |entries| u64::from(entries.get()))
    }

    /// An answer that the scripts do not give.
    pub(crate) fn corrupt(&self, operation: Operation) -> Error {
        corrupt(operation).with_server(self.config.address())
    }

    /// Runs a script on one lock: it gets `args` after the journal and the key, and `read` reads
    /// what follows the time in its answer.
    pub(crate) async fn run<T>(
        &self,
        operation: Operation,
        script: Script,
        key: &LockKey,
        args: &[Arg<'_>],
        read: impl FnOnce(Answer) -> Option<T>,
    ) -> Result<Timed<T>> {
        let keys = [&self.layout.shared()[..], &self.layout.lock(key)].concat();
        let mut all = vec![Arg::Number(self.journal()), Arg::Text(key.as_str())];
        all.extend(args.iter().copied());
        let answer = self.connection.run(operation, script, &keys, &all).await;
        let answer = answer.map_err(|error| error.with_key(key.clone()))?;
        let read = |mut answer: Answer| Some(Timed::new(answer.time()?, read(answer)?));
        let answer = Answer::new(answer).and_then(read);
        answer.ok_or_else(|| self.corrupt(operation).with_key(key.clone()))
    }

    /// Whether a short script may be able to decide.
    pub(crate) fn may_be_simple(&self, key: &LockKey) -> bool {
        // The short scripts write no journal.
        self.config.journal.is_none() && !self.contended.contains(key)
    }

    /// Whether an error says that a key is damaged, which is then remembered.
    pub(crate) fn is_damage(&self, error: &Error) -> bool {
        let (ErrorKind::Corrupt, Some(key)) = (error.kind(), error.key()) else { return false };
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged.len() < DAMAGED && damaged.insert(key.clone()) {
            tracing::warn!(%key, ?error, "the records of a key are damaged");
        }
        true
    }

    /// Forgets that a key was damaged.
    pub(crate) fn is_sound(&self, key: &LockKey) {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    pub(crate) fn damaged(&self) -> Vec<LockKey> {
        let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        damaged.iter().cloned().collect()
    }

    /// Grants a key that is free; nothing when only the whole command can decide.
    pub(crate) async fn acquire_free(
        &self,
        request: &AcquireRequest,
        terms: &[u8],
    ) -> Result<Option<Timed<Acquisition>>> {
        let keys = [self.layout.state(request.key.as_str()), self.layout.token()];
        let lease = alone(request.id);
        let terms = [b"0", &mailbox(request.mailbox)[..], terms].concat();
        let ttl = ttl_millis(request.ttl);
        let kept = if ttl == 0 { 0 } else { ttl + GRACE };
        let args =
            [Arg::Bytes(&lease), Arg::Number(ttl * 1000), Arg::Bytes(&terms), Arg::Number(kept)];
        let answer = self.connection.run(Operation::Acquire, Script::AcquireFree, &keys, &args);
        let answer = answer.await.map_err(|error| error.with_key(request.key.clone()))?;
        let granted = match answer {
            Value::Nil => return Ok(None),
            Value::Int(_) => reply::number(&answer).map(|now| (now, now)),
            pair => Answer::new(pair).and_then(|mut pair| Some((pair.number()?, pair.number()?))),
        };
        let granted = granted.and_then(|(now, token)| {
            let (now, token) = (Timestamp::from_micros(now), FencingToken::new(token)?);
            Some(Timed::new(now, Acquisition::Granted(Lease::granted(request, token, now))))
        });
        let corrupt = || self.corrupt(Operation::Acquire).with_key(request.key.clone());
        granted.ok_or_else(corrupt).map(Some)
    }

    pub(crate) async fn acquire(
        &self,
        request: &AcquireRequest,
        terms: &[u8],
    ) -> Result<Timed<Acquisition>> {
        let (keep_alive, limit) = match request.on_held {
            OnHeld::Queue { keep_alive, queue_limit } => {
                (millis(keep_alive.span()), queue_limit.map_or(0, |limit| u64::from(limit.get())))
            }
            _ => (0, 0),
        };
        let id = id(request.id);
        let mode = terms::mode_word(request.mode);
        let mailbox = mailbox(request.mailbox);
        let args = [
            Arg::Bytes(&id),
            Arg::Bytes(terms),
            Arg::Text(&mode),
            Arg::Bytes(&mailbox),
            Arg::Number(ttl_millis(request.ttl) * 1000),
            Arg::Number(millis(request.head_start.span())),
            Arg::Number(keep_alive),
            Arg::Number(limit),
        ];
        let read = |mut answer: Answer| {
            Some(match answer.bytes()?.as_slice() {
                b"granted" => Acquisition::Granted(answer.lease(&request.key)?),
                b"free" => {
                    self.contended.remove(&request.key);
                    Acquisition::Granted(answer.lease(&request.key)?)
                }
                b"queued" => Acquisition::Queued(answer.position()?),
                b"held" => Acquisition::Held(answer.position()?),
                b"full" => Acquisition::QueueFull(answer.position()?),
                b"ended" => Acquisition::Ended(answer.end()?),
                _ => return None,
            })
        };
        self.run(Operation::Acquire, Script::Acquire, &request.key, &args, read).await
    }

    /// Ends a lease that is alone; nothing when only the whole command can decide.
    pub(crate) async fn release_alone(&self, lease: &LeaseName) -> Result<Option<Timed<Release>>> {
        let keys = [self.layout.state(lease.key.as_str())];
        let token = (lease.token.get() as f64).to_be_bytes();
        let state = [&alone(lease.request)[..], &token].concat();
        let args = [Arg::Bytes(&state)];
        let run = self.connection.run(Operation::Release, Script::ReleaseAlone, &keys, &args);
        let answer = run.await.map_err(|error| error.with_key(lease.key.clone()))?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let read = |mut answer: Answer| Some(Timed::new(answer.time()?, released(answer)?));
        let answer = Answer::new(answer).and_then(read);
        let corrupt = || self.corrupt(Operation::Release).with_key(lease.key.clone());
        answer.ok_or_else(corrupt).map(Some)
    }

    pub(crate) async fn release(&self, lease: &LeaseName) -> Result<Timed<Release>> {
        let id = id(lease.request);
        let args = [Arg::Bytes(&id), Arg::Number(lease.token.get())];
        self.run(Operation::Release, Script::Release, &lease.key, &args, released).await
    }

    /// A request that exceeds the bounds of one command and did not happen.
    pub(crate) fn put_off(&self, operation: Operation) -> Error {
        let cause = "the store has more to drop first than one command may";
        Error::new(ErrorKind::Unavailable, operation)
            .with_source(cause)
            .with_server(self.config.address())
    }
}

fn released(mut answer: Answer) -> Option<Release> {
    match answer.value()? {
        Value::Int(1) => Some(Release::Released),
        Value::Int(0) => Some(Release::NotHeld),
        ending => Some(Release::Ended(end::parse(&reply::bytes(ending)?)?)),
    }
}

/// A request as the scripts take it.
pub(crate) fn id(request: RequestId) -> [u8; 16] {
    request.to_bits().to_be_bytes()
}

/// A mailbox as the scripts take it.
pub(crate) fn mailbox(mailbox: Option<MailboxId>) -> [u8; 16] {
    mailbox.map_or([0; 16], |mailbox| mailbox.to_bits().to_be_bytes())
}

/// How the state of a key begins whose only lease is of this request.
fn alone(request: RequestId) -> [u8; 17] {
    let mut state = [b'1'; 17];
    state[1..].copy_from_slice(&id(request));
    state
}
