//! Which keys in the server belong to a lock.

use lock_core::LockKey;

/// Names the keys of one store, which all lie in one slot.
#[derive(Debug)]
pub(crate) struct Layout {
    base: String,
}

impl Layout {
    pub(crate) fn new(prefix: &str) -> Self {
        // There is one shard: the part in braces alone decides on the slot.
        Self { base: format!("{{{prefix}:0}}:") }
    }

    pub(crate) fn token(&self) -> String {
        format!("{}token", self.base)
    }

    pub(crate) fn waits(&self) -> String {
        format!("{}waits", self.base)
    }

    pub(crate) fn journal(&self) -> String {
        format!("{}journal", self.base)
    }

    pub(crate) fn probe(&self) -> String {
        format!("{}probe", self.base)
    }

    pub(crate) fn state(&self, key: &str) -> String {
        format!("{}state:{key}", self.base)
    }

    /// The key whose state the key in the server is.
    pub(crate) fn key_of_state<'a>(&self, state: &'a str) -> Option<&'a str> {
        state.strip_prefix(self.base.as_str())?.strip_prefix("state:")
    }

    /// A glob pattern of the states of all keys that begin with `prefix`.
    pub(crate) fn states(&self, prefix: &str) -> String {
        let mut pattern = String::new();
        for c in self.state(prefix).chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern + "*"
    }

    /// What all commands need besides the keys of locks.
    pub(crate) fn shared(&self) -> [String; 3] {
        [self.token(), self.waits(), self.journal()]
    }

    /// The keys of one lock, in the order in which the scripts take them.
    pub(crate) fn lock(&self, key: &LockKey) -> [String; 5] {
        let named = |part| format!("{}{part}:{key}", self.base);
        [named("state"), named("details"), named("queue"), named("silence"), named("ends")]
    }

    /// The channel of a process that waits.
    pub(crate) fn channel(&self, process: [u8; 8]) -> Vec<u8> {
        [self.base.as_bytes(), b"process:", &process].concat()
    }
}
