//! Names of the keys and channels of a store.

use std::collections::HashMap;
use std::sync::Arc;

use lock_core::{LockKey, MailboxId};
use lock_redis_client::escape_glob;

use crate::topology::slots;

/// Names the keys of one shard, which all lie in one slot.
#[derive(Debug)]
pub(crate) struct Keyspace {
    base: String,
}

impl Keyspace {
    /// The keys with this tag: the part in braces alone decides on the slot.
    pub(crate) fn new(tag: &str) -> Self {
        Self { base: format!("{{{tag}}}:") }
    }

    /// What the names of all keys begin with.
    #[cfg(feature = "cluster")]
    pub(crate) fn base(&self) -> &str {
        &self.base
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

    /// The channel of all who use the shard.
    pub(crate) fn store_channel(&self) -> Vec<u8> {
        format!("{}store", self.base).into_bytes()
    }

    /// The channel of a mailbox.
    pub(crate) fn channel(&self, mailbox: MailboxId) -> Vec<u8> {
        let mailbox = mailbox.to_bits().to_be_bytes();
        [self.base.as_bytes(), b"mailbox:", &mailbox].concat()
    }
}

/// Names the keys of a store, which has one shard or many.
#[derive(Debug)]
pub(crate) struct Keyspaces {
    #[cfg(feature = "cluster")]
    pub(crate) prefix: String,
    pub(crate) shards: Vec<Arc<Keyspace>>,
    /// The shards by what the names of their keys begin with.
    by_base: HashMap<String, usize>,
}

impl Keyspaces {
    pub(crate) fn new(prefix: &str, shards: usize) -> Self {
        let tags = slots::tags(prefix, shards);
        let shards: Vec<_> = tags.iter().map(|tag| Arc::new(Keyspace::new(tag))).collect();
        let base = |(number, shard): (usize, &Arc<Keyspace>)| (shard.base.clone(), number);
        let by_base = shards.iter().enumerate().map(base).collect();
        Self {
            #[cfg(feature = "cluster")]
            prefix: prefix.to_owned(),
            shards,
            by_base,
        }
    }

    /// The number of the shard of a key.
    pub(crate) fn shard_of(&self, key: &LockKey) -> usize {
        match self.shards.len() {
            1 => 0,
            shards => slots::shard_of(key.as_str(), shards),
        }
    }

    /// The channels of a mailbox, one a shard.
    pub(crate) fn channels(&self, mailbox: MailboxId) -> impl Iterator<Item = Vec<u8>> {
        self.shards.iter().map(move |shard| shard.channel(mailbox))
    }

    /// The channels of all who use the store.
    pub(crate) fn store_channels(&self) -> impl Iterator<Item = Vec<u8>> {
        self.shards.iter().map(|shard| shard.store_channel())
    }

    /// The mailbox whose channel this is.
    pub(crate) fn mailbox_of_channel(&self, channel: &[u8]) -> Option<MailboxId> {
        const LENGTH: usize = size_of::<u128>();
        let (base, mailbox) = channel.split_at_checked(channel.len().checked_sub(LENGTH)?)?;
        self.shard_of_base(base.strip_suffix(b"mailbox:")?)?;
        Some(MailboxId::from_bits(u128::from_be_bytes(mailbox.try_into().ok()?)))
    }

    /// Returns `true` if this is the channel of all who use a shard.
    pub(crate) fn is_store_channel(&self, channel: &[u8]) -> bool {
        channel.strip_suffix(b"store").is_some_and(|base| self.shard_of_base(base).is_some())
    }

    fn shard_of_base(&self, base: &[u8]) -> Option<usize> {
        self.by_base.get(str::from_utf8(base).ok()?).copied()
    }

    /// A glob pattern of the states of all keys that begin with `prefix`, in all shards.
    #[cfg(feature = "cluster")]
    pub(crate) fn states(&self, prefix: &str) -> String {
        format!("{{{}:*}}:state:{}*", escape_glob(&self.prefix), escape_glob(prefix))
    }

    /// The shard and the key whose state the key in the server is.
    #[cfg(feature = "cluster")]
    pub(crate) fn key_of_state<'a>(&self, state: &'a str) -> Option<(usize, &'a str)> {
        let (tag, key) = state.split_once("}:state:")?;
        let shard = *self.by_base.get(&state[..tag.len() + "}:".len()])?;
        Some((shard, key))
    }
}
