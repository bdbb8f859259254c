//! Atlantis' Redis as the source or the target of a migration.

use async_trait::async_trait;

use super::{Archive, Put, Record, Records, Source};
use crate::AtlantisRedis;
use lock_compat::Result;
use lock_compat::legacy::PullKey;

/// What keys of records match; those of statuses are looked at once more.
const PATTERNS: [&str; 3] = ["pr/*", "*::*::*", "global/*/lock"];

#[async_trait]
impl Source for AtlantisRedis {
    async fn records(&self) -> Result<Records> {
        let mut records = Records::default();
        for pattern in PATTERNS {
            for (key, bytes) in self.values_of(pattern, &mut records.damaged).await? {
                if pattern != "*::*::*" || is_status(&key) {
                    records.add(Record::read(&key, &bytes));
                }
            }
        }
        Ok(records)
    }
}

/// Others may keep keys of theirs in the same server, which are not ours to judge.
fn is_status(key: &str) -> bool {
    PullKey::parse(key).is_some() && !key.starts_with('{') && !key.starts_with("pr/")
}

#[async_trait]
impl Archive for AtlantisRedis {
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
