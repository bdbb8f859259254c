//! Queue of the commands to be sent in batches: first in, first out per key, and one command per
//! key in a batch.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lock_core::{ErrorKind, LockKey, Operation, Result};
use redis::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::command_state::{Capacity, CommandState, Sent};
use crate::connection::handle::ConnectionHealth;
use crate::error;
use crate::reply::Answer;
use crate::script::{Arg, Packed, Script};

/// Maximum time that a command is held back while others are in flight.
const HOLD: Duration = Duration::from_micros(500);
/// Maximum number of commands, and size in bytes, of a batch.
const MOST: usize = 64;
const BYTES: usize = 64 * 1024;
/// Number of commands and calls on their way beside which another batch goes: enough that neither
/// side sleeps while the other works, and few enough that batches grow when the server is slow.
const BESIDE: usize = 8;
/// Minimum number of queued commands before withdrawn ones are purged.
const MANY: usize = 1024;

/// Payload of a command.
#[derive(Debug)]
pub(crate) enum Work {
    /// Part of a batch: a key and its arguments.
    Short(&'static BatchScript, String, Packed),
    /// Command sent on its own, behind others of its key.
    Whole(&'static Script, Vec<String>, Packed),
}

impl Work {
    fn args(&self) -> &Packed {
        let (Self::Short(_, _, args) | Self::Whole(_, _, args)) = self;
        args
    }
}

/// Script that executes a batch of short commands.
#[derive(Debug)]
pub(crate) struct BatchScript {
    pub(crate) script: &'static Script,
    pub(crate) needs_token: bool,
}

/// A queued command.
#[derive(Debug)]
pub(crate) struct Entry {
    operation: Operation,
    key: LockKey,
    work: Work,
    pub(crate) since: Instant,
    state: Arc<CommandState>,
    answer: oneshot::Sender<Result<Value>>,
}

impl Entry {
    pub(crate) fn new(
        operation: Operation,
        key: LockKey,
        work: Work,
        state: Arc<CommandState>,
        answer: oneshot::Sender<Result<Value>>,
    ) -> Self {
        Self { operation, key, work, since: Instant::now(), state, answer }
    }

    const fn is_whole(&self) -> bool {
        matches!(self.work, Work::Whole(..))
    }

    fn bytes(&self) -> usize {
        self.work.args().len() + self.key.as_str().len()
    }

    /// Answers a command, whose caller may be gone.
    fn answer(self, answer: Result<Value>) {
        drop(self.answer.send(answer.map_err(|error| error.with_key(self.key))));
    }
}

/// Time of the next sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Never,
    /// At the first step of the clock after this.
    By(Instant),
    Now,
}

/// Queued commands of a key, nearly always one.
#[derive(Debug)]
struct Turns {
    first: Entry,
    behind: VecDeque<Entry>,
}

/// Queue of commands to be sent.
#[derive(Debug, Default)]
pub(crate) struct CommandQueue {
    of_key: HashMap<LockKey, Turns>,
    /// The keys, in the order in which their first commands are sent.
    turns: VecDeque<LockKey>,
    count: usize,
    /// Capacity of the connection for another batch.
    pub(crate) capacity: Capacity,
    /// Number of commands and batches in flight.
    on_their_way: usize,
    /// Number of commands at which withdrawn ones are purged.
    look_at: usize,
}

impl CommandQueue {
    /// Marks a command as in flight and returns `true` if nothing else is queued or in flight.
    pub(crate) fn goes_alone(&mut self) -> bool {
        let is_alone = self.on_their_way == 0 && self.count == 0;
        self.on_their_way += usize::from(is_alone);
        is_alone
    }

    pub(crate) fn has(&self, key: &LockKey) -> bool {
        self.count > 0 && self.of_key.contains_key(key)
    }

    /// Takes a command; whether it is one that changes what is due.
    pub(crate) fn push(&mut self, entry: Entry) -> bool {
        if self.count >= self.look_at.max(MANY) {
            self.forget_withdrawn();
        }
        match self.of_key.entry(entry.key.clone()) {
            Slot::Occupied(mut turns) => turns.get_mut().behind.push_back(entry),
            Slot::Vacant(slot) => {
                self.turns.push_back(entry.key.clone());
                slot.insert(Turns { first: entry, behind: VecDeque::new() });
            }
        }
        self.count += 1;
        self.count == 1 || self.count >= MOST || self.on_their_way == 0
    }

    /// Forgets commands whose callers are gone, however long nothing can be sent.
    fn forget_withdrawn(&mut self) {
        self.of_key.retain(|_, turns| {
            turns.behind.retain(|entry| !entry.state.is_withdrawn());
            if !turns.first.state.is_withdrawn() {
                return true;
            }
            let next = turns.behind.pop_front();
            next.map(|next| turns.first = next).is_some()
        });
        self.turns.retain(|key| self.of_key.contains_key(key));
        self.count = self.of_key.values().map(|turns| 1 + turns.behind.len()).sum();
        self.look_at = self.count * 2;
    }

    /// Something more is on its way.
    pub(crate) fn went(&mut self) {
        self.on_their_way += 1;
    }

    /// Something is not on its way any more; whether others wait for that.
    pub(crate) fn came_back(&mut self) -> bool {
        self.on_their_way -= 1;
        self.on_their_way < BESIDE && self.count > 0
    }

    pub(crate) fn due(&self, now: Instant) -> Due {
        let Some(turns) = self.turns.front().and_then(|key| self.of_key.get(key)) else {
            return Due::Never;
        };
        let first = &turns.first;
        let is_full = self.count >= MOST;
        if self.on_their_way < BESIDE || is_full || now >= first.since + HOLD {
            Due::Now
        } else {
            Due::By(first.since)
        }
    }

    /// Takes the commands that are sent now, on the connection of this pulse. Those of which it is
    /// known that a short command cannot decide are answered so.
    pub(crate) fn take(
        &mut self,
        health: &Arc<ConnectionHealth>,
        limit: Duration,
        whole_limit: usize,
        is_contended: impl Fn(&LockKey) -> bool,
    ) -> Vec<Call> {
        let (mut calls, mut count, mut bytes, mut wholes) = (Vec::<Call>::new(), 0, 0, 0);
        for _ in 0..self.turns.len() {
            if count == MOST || bytes >= BYTES {
                break;
            }
            let Some(key) = self.turns.pop_front() else { break };
            let Some(Turns { first, mut behind }) = self.of_key.remove(&key) else { continue };
            let (mut next, mut is_taken) = (Some(first), false);
            let may_go = |next: &Entry, is_taken: bool, wholes: usize| {
                if next.is_whole() { wholes < whole_limit } else { !is_taken }
            };
            while let Some(entry) = next.take_if(|next| may_go(next, is_taken, wholes)) {
                next = behind.pop_front();
                self.count -= 1;
                if !entry.is_whole() && is_contended(&key) {
                    entry.answer(Ok(Value::Nil));
                    continue;
                }
                // The taker has room.
                let deadline = self.capacity.deadline(entry.since, limit);
                let deadline = deadline.unwrap_or_else(|| Instant::now() + limit);
                let sent = Sent { health: Arc::clone(health), deadline };
                if !entry.state.send(sent) {
                    continue;
                }
                (count, bytes) = (count + 1, bytes + entry.bytes());
                is_taken = true;
                wholes += usize::from(entry.is_whole());
                put(&mut calls, entry, deadline);
                if count == MOST || bytes >= BYTES {
                    break;
                }
            }
            // A short command behind another of its key belongs into another batch. Whole commands
            // go each by itself, so they may follow: else a crowd would send one for each answer.
            if let Some(first) = next {
                self.of_key.insert(key.clone(), Turns { first, behind });
                self.turns.push_back(key);
            }
        }
        calls
    }
}

/// Puts a command into the call of its script.
fn put(calls: &mut Vec<Call>, entry: Entry, deadline: Instant) {
    let script = match &entry.work {
        Work::Short(gather, ..) => gather.script,
        Work::Whole(script, ..) => *script,
    };
    let is_whole = entry.is_whole();
    let same = |call: &&mut Call| !is_whole && std::ptr::eq(call.script, script);
    match calls.iter_mut().find(same) {
        Some(call) => {
            call.deadline = call.deadline.max(deadline);
            call.entries.push(entry);
        }
        None => {
            let operation = entry.operation;
            calls.push(Call { operation, script, deadline, entries: vec![entry] });
        }
    }
}

/// Unit of sending: a batch, or a single command.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) script: &'static Script,
    /// Until when there must be an answer, for the last of its commands.
    pub(crate) deadline: Instant,
    entries: Vec<Entry>,
}

impl Call {
    /// The keys of the call; `token` is needed by some.
    pub(crate) fn keys<'a>(&'a self, token: &'a str) -> Vec<&'a str> {
        let mut keys = Vec::with_capacity(self.entries.len() + 1);
        for entry in &self.entries {
            match &entry.work {
                Work::Short(gather, key, _) => {
                    if gather.needs_token && keys.is_empty() {
                        keys.push(token);
                    }
                    keys.push(key);
                }
                Work::Whole(_, all, _) => keys.extend(all.iter().map(String::as_str)),
            }
        }
        keys
    }

    pub(crate) fn args(&self) -> Vec<Arg<'_>> {
        self.entries.iter().flat_map(|entry| entry.work.args().iter()).map(Arg::Bytes).collect()
    }

    /// Number of its commands.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns `true` if it is a command of its own.
    pub(crate) fn is_whole(&self) -> bool {
        self.entries.iter().any(Entry::is_whole)
    }

    /// Answers each command: of a batch with the time and its own part.
    pub(crate) fn answer(self, answer: Result<Value>) {
        if self.is_whole() {
            for entry in self.entries {
                entry.answer(answer.clone());
            }
            return;
        }
        let parts = answer.and_then(|answer| {
            let mut answer = Answer::new(answer).ok_or_else(|| error::corrupt(self.operation))?;
            let now = answer.value().ok_or_else(|| error::corrupt(self.operation))?;
            let parts = answer.rest();
            let is_whole = parts.len() == self.entries.len();
            if is_whole { Ok((now, parts)) } else { Err(error::corrupt(self.operation)) }
        });
        match parts {
            Ok((now, parts)) => {
                for (entry, part) in self.entries.into_iter().zip(parts) {
                    let part = match part {
                        Value::Nil => Value::Nil,
                        part => Value::Array(vec![now.clone(), part]),
                    };
                    entry.answer(Ok(part));
                }
            }
            // One of them is damaged: alone, each gets its own answer.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                for entry in self.entries {
                    entry.answer(Ok(Value::Nil));
                }
            }
            Err(error) => {
                for entry in self.entries {
                    entry.answer(Err(error.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
