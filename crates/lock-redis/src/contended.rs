//! Keys for which the short scripts only say that they cannot decide.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lock_core::LockKey;

/// Maximum number of keys of a generation.
const GENERATION: usize = 2048;

/// The keys at which a short script found something last. Of many, the oldest are forgotten, which
/// costs one script.
#[derive(Debug, Default)]
pub(crate) struct Contended(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashSet<LockKey>,
    old: HashSet<LockKey>,
}

impl Contended {
    pub(crate) fn contains(&self, key: &LockKey) -> bool {
        let keys = self.keys();
        keys.young.contains(key) || keys.old.contains(key)
    }

    pub(crate) fn insert(&self, key: &LockKey) {
        let mut keys = self.keys();
        if keys.young.len() >= GENERATION {
            keys.old = std::mem::take(&mut keys.young);
        }
        keys.young.insert(key.clone());
    }

    pub(crate) fn remove(&self, key: &LockKey) {
        let mut keys = self.keys();
        keys.young.remove(key);
        keys.old.remove(key);
    }

    fn keys(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> LockKey {
        LockKey::parse(format!("key-{number}")).unwrap()
    }

    #[test]
    fn the_oldest_keys_are_forgotten() {
        let contended = Contended::default();
        for number in 0..=2 * GENERATION {
            contended.insert(&key(number));
        }
        let kept = (0..=2 * GENERATION).filter(|number| contended.contains(&key(*number)));
        assert_eq!(kept.collect::<Vec<_>>(), (GENERATION..=2 * GENERATION).collect::<Vec<_>>());
        contended.remove(&key(GENERATION));
        assert!(!contended.contains(&key(GENERATION)));
    }
}
