//! The states of all keys, each under the lock of its shard, and the tokens that outlive them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use dashmap::{DashMap, DashSet, Entry};
use foldhash::fast::RandomState;
use lock_core::machine::{KeyState, Step};
use lock_core::{Clock, FencingToken, Lease, LockKey};

use crate::notify::Sleepers;
use crate::watch::Watchers;

/// How many token counters there are, so that keys do not all meet at one.
const SLOTS: usize = 64;

/// How many keys may be in the table before the dead are first looked for.
const FIRST_SWEEP: usize = 4096;

/// How many new keys of one slot go by between two looks at the number of all.
const LOOK_EVERY: usize = 64;

/// The states of all keys that anybody holds or waits for.
#[derive(Debug)]
pub(crate) struct Table {
    states: DashMap<LockKey, KeyState, RandomState>,
    /// The keys that anybody waits for.
    waited: DashSet<LockKey, RandomState>,
    slots: Box<[CachePadded<Slot>]>,
    sweep_at: AtomicUsize,
    clock: Arc<dyn Clock>,
    pub(crate) sleepers: Sleepers,
    pub(crate) watchers: Arc<Watchers>,
}

/// What outlives the keys that share it.
#[derive(Debug)]
struct Slot {
    last_token: AtomicU64,
    /// How many keys of this slot were new to the table, more or less.
    new_keys: AtomicUsize,
}

impl Table {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let slot = || {
            let (last_token, new_keys) = (AtomicU64::new(0), AtomicUsize::new(0));
            CachePadded::new(Slot { last_token, new_keys })
        };
        Self {
            states: DashMap::default(),
            waited: DashSet::default(),
            slots: std::iter::repeat_with(slot).take(SLOTS).collect(),
            sweep_at: AtomicUsize::new(FIRST_SWEEP),
            clock,
            sleepers: Sleepers::default(),
            watchers: Arc::default(),
        }
    }

    /// Runs a command that may be the first on its key, and lets others hear of its effects.
    pub(crate) fn run<R>(
        &self,
        key: &LockKey,
        command: impl FnOnce(&mut KeyState, &mut Step) -> R,
    ) -> R {
        let mut promoted = Vec::new();
        let (mut entry, is_new) = match self.states.entry(key.clone()) {
            Entry::Occupied(entry) => (entry, false),
            Entry::Vacant(entry) => (entry.insert_entry(KeyState::default()), true),
        };
        let reply = self.step(key, entry.get_mut(), &mut promoted, command);
        if entry.get().is_idle() {
            entry.remove();
        } else {
            drop(entry);
        }
        self.wake(promoted);
        if is_new {
            self.count_new_key(key);
        }
        reply
    }

    /// Runs a command that changes nothing on a key that nobody holds or waits for.
    pub(crate) fn run_known<R>(
        &self,
        key: &LockKey,
        command: impl Fn(&mut KeyState, &mut Step) -> R,
    ) -> R {
        let mut promoted = Vec::new();
        let mut reply = None;
        self.states.remove_if_mut(key, |_, state| {
            reply = Some(self.step(key, state, &mut promoted, &command));
            state.is_idle()
        });
        self.wake(promoted);
        reply.unwrap_or_else(|| self.step(key, &mut KeyState::default(), &mut Vec::new(), command))
    }

    /// Settles every key and looks at it; keys that turn out to be idle are forgotten.
    pub(crate) fn for_each(&self, mut look: impl FnMut(&LockKey, &KeyState, &Step)) {
        let mut promoted = Vec::new();
        self.states.retain(|key, state| {
            self.step(key, state, &mut promoted, |state, step| {
                state.settle(step);
                look(key, state, step);
            });
            !state.is_idle()
        });
        self.wake(promoted);
    }

    /// The keys that anybody waits for.
    pub(crate) fn waited_keys(&self) -> Vec<LockKey> {
        self.waited.iter().map(|key| key.clone()).collect()
    }

    /// How many keys take memory.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// The present time.
    pub(crate) fn now(&self) -> lock_core::Timestamp {
        self.clock.now()
    }

    /// Runs a command under the lock of the key's shard.
    ///
    /// Changes are published here, so that watchers see those of one key in their order; sleepers
    /// are woken by the caller when the lock is gone.
    fn step<R>(
        &self,
        key: &LockKey,
        state: &mut KeyState,
        promoted: &mut Vec<Lease>,
        command: impl FnOnce(&mut KeyState, &mut Step) -> R,
    ) -> R {
        let slot = self.slot(key);
        let last = slot.last_token.load(Ordering::Relaxed);
        let mut step = Step::new(self.clock.now(), FencingToken::new(last), self.watchers.wanted());
        let had_waiters = state.has_waiters();
        let reply = command(state, &mut step);
        // Another key of the slot may have taken a higher token meanwhile. Commands of this key
        // come here one after another, and the highest of its own is never lost.
        if let Some(token) = step.last_token
            && token.get() > last
        {
            slot.last_token.fetch_max(token.get(), Ordering::Relaxed);
        }
        match (had_waiters, state.has_waiters()) {
            (false, true) => drop(self.waited.insert(key.clone())),
            (true, false) => drop(self.waited.remove(key)),
            (true, true) | (false, false) => {}
        }
        if !step.effects.changes.is_empty() {
            self.watchers.publish(step.now, step.effects.changes);
        }
        if !step.effects.promoted.is_empty() {
            promoted.append(&mut step.effects.promoted);
        }
        reply
    }

    /// The slot of a key, chosen by its last bytes: a whole hash costs more than keys that meet.
    fn slot(&self, key: &LockKey) -> &Slot {
        let text = key.as_str().as_bytes();
        let whole = || text.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let tail = text.last_chunk().map_or_else(whole, |tail| u64::from_be_bytes(*tail));
        // Fibonacci hashing: the high bits of the product depend on all of the tail.
        let mixed = tail.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        &self.slots[mixed as usize % SLOTS]
    }

    fn wake(&self, promoted: Vec<Lease>) {
        if !promoted.is_empty() {
            self.sleepers.wake(promoted);
        }
    }

    /// Counts a new key, and looks for dead ones when there are twice as many keys as there were
    /// after the last look: so the dead are never more than the living and a fixed number, at a
    /// cost that is constant for each new key.
    ///
    /// The count is kept without a locked instruction: what is lost puts the look off a little.
    fn count_new_key(&self, key: &LockKey) {
        let slot = self.slot(key);
        let keys = slot.new_keys.load(Ordering::Relaxed).wrapping_add(1);
        slot.new_keys.store(keys, Ordering::Relaxed);
        if keys.is_multiple_of(LOOK_EVERY) {
            self.sweep_if_grown();
        }
    }

    fn sweep_if_grown(&self) {
        let (keys, sweep_at) = (self.len(), self.sweep_at.load(Ordering::Relaxed));
        let next = |keys: usize| FIRST_SWEEP.max(keys * 2);
        if keys < sweep_at {
            // A table that has shrunk is looked at again when it has doubled from here.
            self.sweep_at.fetch_min(next(keys * 2), Ordering::Relaxed);
            return;
        }
        // One caller sweeps; the others see a table that need not be swept.
        let won = self.sweep_at.compare_exchange(
            sweep_at,
            usize::MAX,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if won.is_ok() {
            self.for_each(|_, _, _| {});
            self.sweep_at.store(next(self.len()), Ordering::Relaxed);
        }
    }
}
