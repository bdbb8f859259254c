//! A shard of a store, and the dispatch of commands on one lock.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use lock_core::{
    Error, ErrorKind, LeaseName, LockKey, MailboxId, Operation, RequestId, Result, Timed,
};
use redis::Value;

use crate::batcher::Batcher;
use crate::command_queue::{BatchScript, Work};
use crate::config::RedisConfig;
use crate::contended::Contended;
use crate::error::corrupt;
use crate::keyspace::Keyspace;
use crate::record;
use crate::reply::Answer;
use crate::route::Route;
use crate::script::{Arg, Packed, Script};

/// Maximum number of damaged keys that are remembered.
const DAMAGED: usize = 100;

/// A shard of a store.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) route: Route,
    pub(crate) batcher: Batcher,
    pub(crate) config: RedisConfig,
    pub(crate) keyspace: Arc<Keyspace>,
    pub(crate) contended: Arc<Contended>,
    /// Keys that were found damaged.
    damaged: Mutex<BTreeSet<LockKey>>,
}

impl Store {
    pub(crate) fn new(route: Route, config: RedisConfig, keyspace: Arc<Keyspace>) -> Self {
        let contended = Arc::<Contended>::default();
        let batcher = Batcher::start(
            route.clone(),
            Arc::clone(&contended),
            keyspace.token(),
            #[cfg(feature = "test-util")]
            config.is_always_batched,
        );
        Self { route, batcher, config, keyspace, contended, damaged: Mutex::default() }
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
        script: &'static Script,
        key: &LockKey,
        args: &[Arg<'_>],
        read: impl FnOnce(Answer) -> Option<T>,
    ) -> Result<Timed<T>> {
        let keys = [&self.keyspace.shared()[..], &self.keyspace.lock(key)].concat();
        let mut all = vec![Arg::Number(self.journal()), Arg::Text(key.as_str())];
        all.extend(args.iter().copied());
        let answer = if self.batcher.has(key) {
            let work = Work::Whole(script, keys, Packed::new(&all));
            self.batcher.send(operation, key, work).await
        } else {
            self.route.run(operation, script, &keys, &all).await
        };
        let answer = answer.map_err(|error| error.with_key(key.clone()))?;
        let read = |mut answer: Answer| Some(Timed::new(answer.time()?, read(answer)?));
        let answer = Answer::new(answer).and_then(read);
        answer.ok_or_else(|| self.corrupt(operation).with_key(key.clone()))
    }

    /// Runs a short script for one lock: at once when nothing else is on its way, and otherwise
    /// together with others, by the script that does many.
    pub(crate) async fn run_short(
        &self,
        operation: Operation,
        key: &LockKey,
        script: &'static Script,
        many: &'static BatchScript,
        args: &[Arg<'_>],
    ) -> Result<Value> {
        let state = self.keyspace.state(key.as_str());
        let answer = match self.batcher.alone() {
            Some(_on_its_way) => {
                let token = many.needs_token.then(|| self.keyspace.token());
                let keys: Vec<_> = std::iter::once(state).chain(token).collect();
                self.route.run(operation, script, &keys, args).await
            }
            None => {
                let work = Work::Short(many, state, Packed::new(args));
                self.batcher.send(operation, key, work).await
            }
        };
        answer.map_err(|error| error.with_key(key.clone()))
    }

    /// Returns `true` if a short script may suffice.
    pub(crate) fn may_be_simple(&self, key: &LockKey) -> bool {
        // The short scripts write no journal.
        self.config.journal.is_none() && !self.contended.contains(key)
    }

    /// Returns `true`, and records the key as damaged, if an error says so.
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

    /// A request that exceeds the bounds of one command and did not happen.
    pub(crate) fn put_off(&self, operation: Operation) -> Error {
        let cause = "the store must first drop more than one command may";
        Error::new(ErrorKind::Unavailable, operation)
            .with_source(cause)
            .with_server(self.config.address())
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

/// Prefix of the state of a key whose only lease is of this request.
pub(crate) fn alone(request: RequestId) -> [u8; record::alone::TOKEN] {
    let mut state = [b'1'; record::alone::TOKEN];
    state[record::alone::REQUEST..].copy_from_slice(&id(request));
    state
}

/// Prefix of the state of a key whose only lease is this one.
pub(crate) fn alone_under(lease: &LeaseName) -> Vec<u8> {
    let token = (lease.token.get() as f64).to_be_bytes();
    [&alone(lease.request)[..], &token].concat()
}
