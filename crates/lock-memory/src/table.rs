//! The states of all keys, each under the lock of its shard, and the tokens that outlive them.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use dashmap::{DashMap, DashSet, Entry};
use foldhash::fast::RandomState;
use lock_core::machine::{KeyState, Step};
use lock_core::{Clock, FencingToken, Lease, LockKey};

use crate::notify::Sleepers;
use crate::watch::Watchers;

/// How many token counters there are, so that keys do not all meet at one.
const SLOTS: usize = 64;

/// How many keys of one slot may be in the table before the dead are first looked for.
const FIRST_SWEEP: i64 = 64;

/// The states of all keys that anybody holds or waits for.
#[derive(Debug)]
pub(crate) struct Table {
    states: DashMap<LockKey, KeyState, RandomState>,
    /// The keys that anybody waits for.
    waited: DashSet<LockKey, RandomState>,
    slots: Box<[CachePadded<Slot>]>,
    hasher: RandomState,
    clock: Arc<dyn Clock>,
    pub(crate) sleepers: Sleepers,
    pub(crate) watchers: Arc<Watchers>,
}

/// What outlives the keys that share it.
#[derive(Debug)]
struct Slot {
    last_token: AtomicU64,
    /// How many keys of this slot are in the table.
    keys: AtomicI64,
    /// At how many keys of this slot the dead are looked for.
    sweep_at: AtomicI64,
}

impl Table {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let slot = || {
            let (last_token, keys) = (AtomicU64::new(0), AtomicI64::new(0));
            CachePadded::new(Slot { last_token, keys, sweep_at: AtomicI64::new(FIRST_SWEEP) })
        };
        let hasher = RandomState::default();
        Self {
            states: DashMap::with_hasher(hasher.clone()),
            waited: DashSet::with_hasher(hasher.clone()),
            slots: std::iter::repeat_with(slot).take(SLOTS).collect(),
            hasher,
            clock,
            sleepers: Sleepers::default(),
            watchers: Arc::default(),
        }
    }

    /// Runs a command on the state of a key, and lets others hear of its effects.
    pub(crate) fn run<R>(
        &self,
        key: &LockKey,
        command: impl FnOnce(&mut KeyState, &mut Step) -> R,
    ) -> R {
        let slot = self.slot(key);
        let (reply, promoted, is_new) = match self.states.entry(key.clone()) {
            Entry::Occupied(mut entry) => {
                let (reply, promoted) = self.step(key, slot, entry.get_mut(), command);
                if entry.get().is_idle() {
                    entry.remove();
                    slot.keys.fetch_sub(1, Ordering::Relaxed);
                }
                (reply, promoted, false)
            }
            Entry::Vacant(entry) => {
                let mut state = KeyState::default();
                let (reply, promoted) = self.step(key, slot, &mut state, command);
                let is_new = !state.is_idle();
                if is_new {
                    entry.insert(state);
                }
                (reply, promoted, is_new)
            }
        };
        self.sleepers.wake(promoted);
        if is_new {
            self.note_new_key(slot);
        }
        reply
    }

    /// Settles every key and looks at it; keys that turn out to be idle are forgotten.
    pub(crate) fn for_each(&self, mut look: impl FnMut(&LockKey, &KeyState, &Step)) {
        let mut promoted = Vec::new();
        self.states.retain(|key, state| {
            let slot = self.slot(key);
            let ((), woken) = self.step(key, slot, state, |state, step| {
                state.settle(step);
                look(key, state, step);
            });
            promoted.extend(woken);
            let stays = !state.is_idle();
            if !stays {
                slot.keys.fetch_sub(1, Ordering::Relaxed);
            }
            stays
        });
        self.sleepers.wake(promoted);
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
        slot: &Slot,
        state: &mut KeyState,
        command: impl FnOnce(&mut KeyState, &mut Step) -> R,
    ) -> (R, Vec<Lease>) {
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
        self.watchers.publish(step.now, step.effects.changes);
        (reply, step.effects.promoted)
    }

    fn slot(&self, key: &LockKey) -> &Slot {
        // The low bits choose the shard of the map; these are others.
        let index = (self.hasher.hash_one(key) >> 20) as usize % SLOTS;
        &self.slots[index]
    }

    /// Counts a new key, and looks for dead ones when there are twice as many keys as there were
    /// after the last look: so the dead are never more than the living and a fixed number, at a
    /// cost that is constant for each new key.
    fn note_new_key(&self, slot: &Slot) {
        let keys = slot.keys.fetch_add(1, Ordering::Relaxed) + 1;
        if keys < slot.sweep_at.load(Ordering::Relaxed) {
            return;
        }
        self.for_each(|_, _, _| {});
        for slot in &self.slots {
            let keys = slot.keys.load(Ordering::Relaxed);
            slot.sweep_at.store(FIRST_SWEEP.max(keys * 2), Ordering::Relaxed);
        }
    }
}
