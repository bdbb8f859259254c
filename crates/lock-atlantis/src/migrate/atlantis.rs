//! Atlantis' Redis as the source or the target of a migration.

use async_trait::async_trait;

use super::{Put, Record, RecordStore, Records, Source};
use crate::AtlantisRedis;
use lock_compat::Result;
use lock_compat::legacy::{Damaged, PullKey};

/// The patterns of records' keys; keys that match the one of statuses are checked once more.
const PATTERNS: [&str; 3] = ["pr/*", STATUSES, "global/*/lock"];
const STATUSES: &str = "*::*::*";

#[async_trait]
impl Source for AtlantisRedis {
    async fn records(&self) -> Result<Records> {
        let mut records = Records::default();
        for pattern in PATTERNS {
            let mut damaged = Vec::new();
            for (key, bytes) in self.values_of(pattern, &mut damaged).await? {
                if pattern != STATUSES {
                    records.add(Record::read(&key, &bytes));
                } else if !is_ours_otherwise(&key) {
                    match Record::read(&key, &bytes) {
                        Err(_) if !is_status(&key) => records.foreign.push(key),
                        read => records.add(read),
                    }
                }
            }
            for damaged in damaged {
                match damaged.key {
                    key if pattern != STATUSES => {
                        records.damaged.push(Damaged::new(key, damaged.reason));
                    }
                    // A status is a string; a value of another type belongs to another program.
                    key if is_ours_otherwise(&key) => {}
                    key => records.foreign.push(key),
                }
            }
        }
        Ok(records)
    }
}

/// Returns `true` if a key is found by another pattern, or belongs to a lock store.
fn is_ours_otherwise(key: &str) -> bool {
    key.starts_with('{') || key.starts_with("pr/")
}

/// Returns `true` if a key is that of a status, readable or not: its first part is a host name.
/// Other programs may keep keys with `::` on the same server.
fn is_status(key: &str) -> bool {
    PullKey::parse(key).is_some_and(|key| {
        key.hostname.contains('.') || key.hostname == "localhost" || key.hostname.contains(':')
    })
}

#[async_trait]
impl RecordStore for AtlantisRedis {
    async fn read(&self, record: &Record) -> Result<Option<Vec<u8>>> {
        self.value_of(record.key()).await
    }

    async fn put(&self, record: &Record) -> Result<Put> {
        let there = self.put_if_free(record.key(), &record.encode()).await?;
        Ok(there.map_or(Put::Written, |there| record.beside(&there)))
    }

    async fn remove(&self, record: &Record) -> Result<bool> {
        self.remove_if_same(record.place(), &record.encode()).await
    }
}
