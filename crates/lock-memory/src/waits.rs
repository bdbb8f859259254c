//! An index of the keys that an owner or a session waits for.

use std::collections::{BTreeMap, BTreeSet};

use dashmap::{DashMap, Entry};
use foldhash::fast::RandomState;
use lock_core::machine::Effects;
use lock_core::{LockKey, WaitsOf};

/// The keys that each owner waits for, and each session of more than one request.
///
/// A request that is a session of its own is found by its identity, and would cost as much as
/// the waiter itself here.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    keys: DashMap<WaitsOf, Keys, RandomState>,
}

/// The keys, each with how many requests wait for it. Most wait for one key alone.
#[derive(Debug)]
enum Keys {
    One(LockKey, usize),
    Many(BTreeMap<LockKey, usize>),
}

impl Waits {
    /// Follows who joined and left the queue of `key`.
    pub(crate) fn follow(&self, key: &LockKey, effects: &mut Effects) {
        for (owner, session, request) in effects.joined.drain(..) {
            self.join(owner.into(), key);
            if session != request.into() {
                self.join(session.into(), key);
            }
        }
        for (owner, session, request) in effects.left.drain(..) {
            self.leave(&owner.into(), key);
            if session != request.into() {
                self.leave(&session.into(), key);
            }
        }
    }

    /// Every key with a queue, in order.
    pub(crate) fn all_keys(&self) -> BTreeSet<LockKey> {
        let mut all = BTreeSet::new();
        for entry in &self.keys {
            match entry.value() {
                Keys::One(key, _) => drop(all.insert(key.clone())),
                Keys::Many(keys) => all.extend(keys.keys().cloned()),
            }
        }
        all
    }

    /// The keys from `from` on that the owner or the session waits for, in their order, at most
    /// `limit`. Requests that are sessions of their own are not found by these.
    pub(crate) fn keys(&self, of: &WaitsOf, from: Option<&LockKey>, limit: usize) -> Vec<LockKey> {
        let Some(keys) = self.keys.get(of) else { return Vec::new() };
        match &*keys {
            Keys::One(key, _) if from.is_none_or(|from| key >= from) => vec![key.clone()],
            Keys::One(..) => Vec::new(),
            Keys::Many(keys) => match from {
                Some(from) => keys.range(from..).take(limit).map(|(key, _)| key.clone()).collect(),
                None => keys.keys().take(limit).cloned().collect(),
            },
        }
    }

    fn join(&self, of: WaitsOf, key: &LockKey) {
        match self.keys.entry(of) {
            Entry::Vacant(entry) => drop(entry.insert(Keys::One(key.clone(), 1))),
            Entry::Occupied(mut entry) => {
                let keys = entry.get_mut();
                match keys {
                    Keys::One(one, count) if one == key => *count += 1,
                    Keys::One(one, count) => {
                        let pair = [(one.clone(), *count), (key.clone(), 1)];
                        *keys = Keys::Many(BTreeMap::from(pair));
                    }
                    Keys::Many(keys) => *keys.entry(key.clone()).or_default() += 1,
                }
            }
        }
    }

    fn leave(&self, of: &WaitsOf, key: &LockKey) {
        self.keys.remove_if_mut(of, |_, keys| match keys {
            Keys::One(one, count) => {
                *count -= usize::from(one == key);
                *count == 0
            }
            Keys::Many(keys) => {
                if let Some(count) = keys.get_mut(key) {
                    *count -= 1;
                    if *count == 0 {
                        keys.remove(key);
                    }
                }
                keys.is_empty()
            }
        });
    }
}
