//! The states of all keys under the locks of shards, and the tokens that outlive them.

#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use lock_core::machine::{KeyState, Step};
use lock_core::{
    ChangeKinds, Clock, EventCursor, EventFilter, FencingToken, LockKey, Timed, Timestamp,
};

use crate::journal::{Journal, Watcher};
use crate::notify::Mailboxes;
use crate::waits::Waits;
use crate::wake::Wakes;

/// The number of shards: a power of two, and so many that one of a million keys has about a thousand.
const SHARDS: usize = 1024;

/// The number of idle keys that a shard keeps for the next acquire, besides half as many as are
/// alive.
const IDLE: usize = 8;

/// The number of new keys of a shard after which the dead are looked for, at least.
const FIRST_SWEEP: usize = 16;

/// The number of acquires of a shard after which another is looked through, besides two for each
/// of its keys. So many bytes of metadata count as one more acquire.
const TURN: usize = 8;
const BYTES_AN_ACQUIRE: usize = 1024;

/// Time that all waiters of a key must have been dead before other commands settle it.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// The states of all keys with holders or waiters, and of some without.
pub(crate) struct Table {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    /// The shard that the next sweep reads.
    hand: AtomicUsize,
    hasher: RandomState,
    clock: Arc<dyn Clock>,
    pub(crate) mailboxes: Arc<Mailboxes>,
    journal: Arc<Journal>,
    pub(crate) waits: Waits,
}

#[derive(Default)]
struct Shard {
    keys: HashTable<(LockKey, KeyState)>,
    /// The number of keys that are idle.
    idle: usize,
    /// The highest token of any lease that a key of this shard ever had.
    last_token: Option<FencingToken>,
    /// The number of keys that came since the dead were last looked for.
    new_keys: usize,
    /// The number of new keys after which they are looked for again.
    sweep_at: usize,
    /// The number of acquires since another shard was looked through for them.
    acquires: usize,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("keys", &self.len()).finish_non_exhaustive()
    }
}

impl Table {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let shard = || {
            let shard = Shard { sweep_at: FIRST_SWEEP, ..Shard::default() };
            CachePadded::new(Mutex::new(shard))
        };
        Self {
            hand: AtomicUsize::new(0),
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            hasher: RandomState::default(),
            clock,
            mailboxes: Arc::default(),
            journal: Arc::new(Journal::new()),
            waits: Waits::default(),
        }
    }

    /// Runs a command that may be the first on its key, for a lease with so much metadata.
    pub(crate) fn run<R>(
        &self,
        key: &LockKey,
        metadata_bytes: usize,
        command: impl FnOnce(&mut KeyState, &mut Step) -> R,
    ) -> Timed<R> {
        let mut wakes = Wakes::default();
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash);
        let reply = self.run_or_insert(&mut shard, hash, key, &mut wakes, command);
        shard.acquires += 1 + metadata_bytes / BYTES_AN_ACQUIRE;
        if shard.acquires >= TURN {
            self.turn_hand(shard);
        }
        reply
    }

    /// Looks through as many of the next shards as a shard has acquires for.
    fn turn_hand(&self, mut shard: MutexGuard<'_, Shard>) {
        let cost = TURN + 2 * (shard.keys.len() - shard.idle);
        let turns = shard.acquires / cost;
        shard.acquires %= cost;
        drop(shard);
        // Watchers see the end of a lease when a command of its key finds it.
        if self.journal.wanted() != ChangeKinds::NONE {
            return;
        }
        for _ in 0..turns {
            let next = self.hand.fetch_add(1, Ordering::Relaxed) % SHARDS;
            self.clear_away(next);
        }
    }

    fn run_or_insert<R>(
        &self,
        shard: &mut Shard,
        hash: u64,
        key: &LockKey,
        wakes: &mut Wakes,
        command: impl FnOnce(&mut KeyState, &mut Step) -> R,
    ) -> Timed<R> {
        let Shard { keys, idle, last_token, .. } = shard;
        if let Some((_, state)) = keys.find_mut(hash, |(known, _)| known == key) {
            let reply = self.run_on(key, state, idle, last_token, wakes, command);
            forget_idle(keys, idle);
            return reply;
        }
        let mut state = KeyState::default();
        let reply = self.step(key, &mut state, last_token, wakes, command);
        if !state.is_idle() {
            if shard.new_keys > shard.sweep_at {
                self.sweep(shard, wakes);
            }
            shard.new_keys += 1;
            let hasher = |(key, _): &(LockKey, KeyState)| self.hasher.hash_one(key);
            shard.keys.insert_unique(hash, (key.clone(), state), hasher);
        }
        reply
    }

    /// Runs a command that changes nothing on a key without holders and waiters.
    pub(crate) fn run_known<R>(
        &self,
        key: &LockKey,
        command: impl FnOnce(&mut KeyState, &mut Step) -> R,
    ) -> Timed<R> {
        let mut wakes = Wakes::default();
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash);
        let Shard { keys, idle, last_token, .. } = &mut *shard;
        let Some((_, state)) = keys.find_mut(hash, |(known, _)| known == key) else {
            return self.step(key, &mut KeyState::default(), last_token, &mut wakes, command);
        };
        let reply = self.run_on(key, state, idle, last_token, &mut wakes, command);
        forget_idle(keys, idle);
        reply
    }

    /// Runs a command on a key of a shard, and counts how many of that are idle.
    fn run_on<R>(
        &self,
        key: &LockKey,
        state: &mut KeyState,
        idle: &mut usize,
        last_token: &mut Option<FencingToken>,
        wakes: &mut Wakes,
        command: impl FnOnce(&mut KeyState, &mut Step) -> R,
    ) -> Timed<R> {
        *idle -= usize::from(state.is_idle());
        let reply = self.step(key, state, last_token, wakes, command);
        *idle += usize::from(state.is_idle());
        reply
    }

    /// Settles the abandoned keys of a shard.
    fn clear_away(&self, shard: usize) {
        if let Some(shard) = self.shards.get(shard) {
            let mut wakes = Wakes::default();
            self.sweep(&mut lock(shard), &mut wakes);
        }
    }

    /// Settles every key of a shard, and looks at those that are not idle.
    pub(crate) fn look_through<R>(
        &self,
        shard: usize,
        look: impl FnOnce(Vec<(&LockKey, &KeyState)>, Timestamp) -> R,
    ) -> R {
        let mut wakes = Wakes::default();
        let mut shard = lock(&self.shards[shard]);
        let now = self.settle(&mut shard, &mut wakes);
        let Shard { keys, idle, .. } = &mut *shard;
        forget_idle(keys, idle);
        let alive = keys.iter().filter(|(_, state)| !state.is_idle());
        look(alive.map(|(key, state)| (key, state)).collect(), now)
    }

    /// Watches from `after` on, or from now on; `None` when `after` is no cursor of this kind.
    pub(crate) fn watch(
        &self,
        filter: EventFilter,
        after: Option<&EventCursor>,
    ) -> Option<Watcher> {
        let let_commands_end = || self.shards.iter().for_each(|shard| drop(lock(shard)));
        self.journal.watch(filter, after, let_commands_end)
    }

    /// Returns `true` if there is a shard of this number.
    pub(crate) fn has_shard(&self, shard: usize) -> bool {
        shard < self.shards.len()
    }

    /// The number of keys with holders or waiters, and of those that died unnoticed.
    pub(crate) fn len(&self) -> usize {
        let alive = |shard: &CachePadded<Mutex<Shard>>| {
            let shard = lock(shard);
            shard.keys.len() - shard.idle
        };
        self.shards.iter().map(alive).sum()
    }

    /// The present time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Runs a command under the lock of the key's shard.
    ///
    /// Its effects are delivered here, so that those of one key are delivered in order. The
    /// receivers are woken later.
    fn step<R>(
        &self,
        key: &LockKey,
        state: &mut KeyState,
        last_token: &mut Option<FencingToken>,
        wakes: &mut Wakes,
        command: impl FnOnce(&mut KeyState, &mut Step) -> R,
    ) -> Timed<R> {
        let mut step = Step::new(self.clock.now(), *last_token, self.journal.wanted());
        let reply = command(state, &mut step);
        *last_token = step.last_token;
        if !step.effects.joined.is_empty() || !step.effects.left.is_empty() {
            self.waits.follow(key, &mut step.effects);
        }
        if !step.effects.changes.is_empty() {
            self.journal.publish(step.now, step.effects.changes, wakes);
        }
        if !step.effects.notices.is_empty() {
            self.mailboxes.tell(step.effects.notices, wakes);
        }
        Timed::new(step.now, reply)
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The table in the shard chooses by the lowest and the highest bits.
        lock(&self.shards[(hash >> 32) as usize % SHARDS])
    }

    /// Drops the dead of a shard, which are never more than the living and a fixed number, at a cost
    /// that is constant for each new key.
    fn sweep(&self, shard: &mut Shard, wakes: &mut Wakes) {
        let Shard { keys, idle, last_token, .. } = shard;
        let now = self.clock.now();
        keys.retain(|(key, state)| {
            // Waiters that may come back settle their key, as every command does.
            if !state.is_settled(now) && state.is_abandoned(now, ABANDONED) {
                let _ = self.step(key, state, last_token, wakes, KeyState::settle);
            }
            !state.is_idle()
        });
        *idle = 0;
        shard.new_keys = 0;
        shard.sweep_at = FIRST_SWEEP.max(shard.keys.len());
    }

    /// Settles every key of a shard, and answers at what time.
    fn settle(&self, shard: &mut Shard, wakes: &mut Wakes) -> Timestamp {
        let Shard { keys, idle, last_token, .. } = shard;
        let now = self.clock.now();
        *idle = 0;
        for (key, state) in keys.iter_mut() {
            if !state.is_settled(now) {
                let _ = self.step(key, state, last_token, wakes, KeyState::settle);
            }
            *idle += usize::from(state.is_idle());
        }
        now
    }
}

/// Forgets all idle keys when there are too many.
fn forget_idle(keys: &mut HashTable<(LockKey, KeyState)>, idle: &mut usize) {
    if *idle > IDLE + keys.len() / 3 {
        keys.retain(|(_, state)| !state.is_idle());
        *idle = 0;
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
