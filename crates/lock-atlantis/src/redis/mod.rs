//! The store that Atlantis itself keeps in Redis, in its own layout.

mod locks;
mod migration;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Script, Value};

pub use migration::KeyMigration;

use crate::server::{Server, ServerConfig, named, plain};
use lock_compat::legacy::Damaged;
use lock_compat::{Result, VersionedStore};

/// A key without a value, below the prefix of locks, on which to try permissions.
const NOTHING: &str = "pr/lock-atlantis/probe";
/// Maximum compare-and-swap attempts.
const MOST_ATTEMPTS: usize = 1000;

/// Atlantis' own Redis: the same keys and the same bytes, so that both can use it during a
/// migration. Clones share the connection.
///
/// Atlantis locks in two steps, a read and a write; this store locks in one, so of two of these
/// only one gets the lock. That does not help against an Atlantis that uses the same Redis at the
/// same time: between its two steps it may overwrite our lock with its own, and then both believe
/// that they hold it (in 40 of 500 rounds of one simultaneous attempt each).
/// [`reading_back`](Self::reading_back) narrows that window and does not close it. So let only one
/// of them lock at a time.
///
/// Nothing here ever gives a key a time to live.
#[derive(Clone)]
pub struct AtlantisRedis(Arc<Shared>);

struct Shared {
    server: Arc<Server>,
    put_if_free: Script,
    put_if_same: Script,
    remove_if_same: Script,
    remove_all_if_same: Script,
    /// The delay after which a new lock is read back.
    read_back: Option<Duration>,
}

impl AtlantisRedis {
    /// Connects, and moves locks under keys of the form before version 0.40 to their present keys,
    /// as Atlantis does when it starts; see [`migrate_keys`](Self::migrate_keys). Locks that cannot
    /// be moved are a warning in the log.
    ///
    /// # Errors
    /// When the server cannot be reached, and when the user lacks a permission that this store
    /// needs.
    ///
    /// # Cancel safety
    /// A dropped call may have moved some locks; the next call continues.
    pub async fn connect(config: ServerConfig) -> Result<Self> {
        let store = Self::connect_without_migration(config).await?;
        match store.migrate_keys().await {
            Ok(migration) if migration.is_clean() => {}
            Ok(migration) => tracing::warn!(%migration, "some locks under old keys stay there"),
            Err(error) => {
                let source = error.source().map(ToString::to_string);
                tracing::warn!(%error, source, "locks under old keys were not looked for");
            }
        }
        Ok(store)
    }

    /// Connects, and leaves all keys as they are.
    ///
    /// # Errors
    /// When the server cannot be reached, and when the user lacks a permission that this store
    /// needs: for scripts, `MGET` and `TYPE`, besides those that Atlantis needs.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn connect_without_migration(config: ServerConfig) -> Result<Self> {
        let store = Self(Arc::new(Shared {
            server: Arc::new(Server::connect(config).await?),
            put_if_free: Script::new(include_str!("scripts/put_if_free.lua")),
            put_if_same: Script::new(include_str!("scripts/put_if_same.lua")),
            remove_if_same: Script::new(include_str!("scripts/remove_if_same.lua")),
            remove_all_if_same: Script::new(include_str!("scripts/remove_all_if_same.lua")),
            read_back: None,
        }));
        // Atlantis' own user may have fewer permissions: fail now, not with the first lock.
        store.remove_if_same(NOTHING, b"").await?;
        for command in ["MGET", "TYPE"] {
            store.server().ask::<Value>(redis::cmd(command).arg(NOTHING)).await?;
        }
        Ok(store)
    }

    /// The same, reading each lock that it made once more after this time.
    ///
    /// If an Atlantis read before the lock was made and wrote afterwards, its lock has replaced
    /// ours, and the attempt returns that lock. An Atlantis that takes longer than `after` between
    /// the two goes undetected. It costs the time and a round trip for each lock.
    #[must_use]
    pub fn reading_back(self, after: Duration) -> Self {
        let Shared { server, put_if_free, put_if_same, remove_if_same, remove_all_if_same, .. } =
            &*self.0;
        Self(Arc::new(Shared {
            server: server.clone(),
            put_if_free: put_if_free.clone(),
            put_if_same: put_if_same.clone(),
            remove_if_same: remove_if_same.clone(),
            remove_all_if_same: remove_all_if_same.clone(),
            read_back: Some(after),
        }))
    }

    fn server(&self) -> &Arc<Server> {
        &self.0.server
    }

    /// The value of a key.
    pub(crate) async fn value_of(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.server().get(key).await
    }

    /// All keys that match a pattern, with their values; and the values that are not strings.
    pub(crate) async fn values_of(
        &self,
        pattern: &str,
        damaged: &mut Vec<Damaged>,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let keys = self.server().keys(pattern).await?;
        let (values, others) = self.server().values(keys, |_, bytes| Ok(bytes.to_vec())).await?;
        damaged.extend(others);
        Ok(values)
    }

    /// All keys with this prefix; those that are not text are left out.
    pub(crate) async fn keys_of(&self, prefix: &str) -> Result<Vec<String>> {
        let keys = self.server().keys(&(plain(prefix) + "*")).await?;
        Ok(keys.into_iter().filter_map(|key| String::from_utf8(key).ok()).collect())
    }

    /// Sets a value if there is none; else returns the present one.
    pub(crate) async fn put_if_free(&self, key: &str, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut call = self.0.put_if_free.prepare_invoke();
        let held = self.server().call(call.key(key).arg(bytes)).await;
        held.map_err(|error| named(error, key))
    }

    /// Replaces a value; `false` if the expected one is not there.
    pub(crate) async fn put_if_same(
        &self,
        key: &str,
        old: Option<&[u8]>,
        new: &[u8],
    ) -> Result<bool> {
        let mut call = self.0.put_if_same.prepare_invoke();
        call.key(key).arg(new);
        if let Some(old) = old {
            call.arg(old);
        }
        self.server().call(&call).await.map_err(|error| named(error, key))
    }

    /// Removes values, and returns for each whether it was there.
    async fn remove_all_if_same(&self, values: &[(&str, Vec<u8>)]) -> Result<Vec<bool>> {
        let mut removed = Vec::with_capacity(values.len());
        for some in values.chunks(self.server().batch()) {
            let mut call = self.0.remove_all_if_same.prepare_invoke();
            for (key, bytes) in some {
                call.key(*key).arg(bytes.as_slice());
            }
            removed.extend(self.server().call::<Vec<bool>>(&call).await?);
        }
        Ok(removed)
    }

    /// Removes a value; `false` if it is not there.
    pub(crate) async fn remove_if_same(&self, key: &str, bytes: &[u8]) -> Result<bool> {
        let mut call = self.0.remove_if_same.prepare_invoke();
        let removed = self.server().call(call.key(key).arg(bytes)).await;
        removed.map_err(|error| named(error, key))
    }
}

impl fmt::Debug for AtlantisRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AtlantisRedis").field(&self.0.server).finish()
    }
}

/// The bytes are the version of a record.
#[async_trait]
impl VersionedStore for AtlantisRedis {
    type Version = Vec<u8>;

    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        Ok(self.value_of(key).await?.map(|bytes| (bytes.clone(), bytes)))
    }

    async fn compare_and_swap(
        &self,
        key: &str,
        seen: Option<Vec<u8>>,
        record: Option<&[u8]>,
    ) -> Result<bool> {
        match (seen, record) {
            (seen, Some(record)) => self.put_if_same(key, seen.as_deref(), record).await,
            (Some(seen), None) => self.remove_if_same(key, &seen).await,
            (None, None) => Ok(true),
        }
    }
}
