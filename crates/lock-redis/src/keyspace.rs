//! Which keys in the server belong to a lock.

use lock_core::{LockKey, MailboxId};
use lock_redis_client::escape_glob;

/// Names the keys of one store, which all lie in one slot.
#[derive(Debug)]
pub(crate) struct Keyspace {
    base: String,
}

impl Keyspace {
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

    pub(crate) fn layout(&self) -> String {
        format!("{}layout", self.base)
    }

    /// The key that one process holds while it sweeps.
    pub(crate) fn sweep(&self) -> String {
        format!("{}sweep", self.base)
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
        escape_glob(&self.state(prefix)) + "*"
    }

    /// Keys that every command takes besides those of its lock.
    pub(crate) fn shared(&self) -> [String; 4] {
        [self.token(), self.waits(), self.journal(), self.layout()]
    }

    /// The keys of one lock, in the order in which the scripts take them.
    pub(crate) fn lock(&self, key: &LockKey) -> [String; 7] {
        // `silence` has the heartbeats of waiters, `ends` the expiry of leases; the names are stored.
        ["state", "details", "queue", "silence", "ends", "marks", "fading"]
            .map(|part| format!("{}{part}:{key}", self.base))
    }

    /// The channel of all who use the store.
    pub(crate) fn store_channel(&self) -> Vec<u8> {
        format!("{}store", self.base).into_bytes()
    }

    /// The channel of a mailbox.
    pub(crate) fn channel(&self, mailbox: MailboxId) -> Vec<u8> {
        let mailbox = mailbox.to_bits().to_be_bytes();
        [self.base.as_bytes(), b"mailbox:", &mailbox].concat()
    }

    /// The mailbox whose channel this is.
    pub(crate) fn mailbox_of_channel(&self, channel: &[u8]) -> Option<MailboxId> {
        let mailbox = channel.strip_prefix(self.base.as_bytes())?.strip_prefix(b"mailbox:")?;
        Some(MailboxId::from_bits(u128::from_be_bytes(mailbox.try_into().ok()?)))
    }
}
