//! An adapter as the source or the target of a migration.

use async_trait::async_trait;

use super::{Put, Record, RecordStore, Records, Source};
use lock_compat::documents::Replacement;
use lock_compat::legacy::Damaged;
use lock_compat::{LegacyError, LockAdapter, Result};

/// Maximum compare-and-swap attempts.
const MOST_ATTEMPTS: usize = 1000;
/// The prefix of documents that are not records: those of the adapter and of a fallback.
const BESIDE: &str = "lock-";
/// The reason for evicting a lease whose lock moved to another store.
const MOVED: &str = "moved to another store";

#[async_trait]
impl Source for LockAdapter {
    async fn records(&self) -> Result<Records> {
        let (locks, damaged) = self.all_stored().await?;
        let mut records = Records::new(locks.into_iter().map(Record::lock).collect(), damaged);
        let names = self.documents().names("").await?;
        for name in names.into_iter().filter(|name| !name.starts_with(BESIDE)) {
            match self.documents().read(&name).await {
                Ok(Some(document)) => records.add(Record::read(&name, &document.body)),
                // It ended since it was listed.
                Ok(None) => {}
                Err(error) => match LegacyError::from(error) {
                    LegacyError::Damaged(reason) => records.add(Err(reason)),
                    error => return Err(error),
                },
            }
        }
        Ok(records)
    }
}

#[async_trait]
impl RecordStore for LockAdapter {
    async fn read(&self, record: &Record) -> Result<Option<Vec<u8>>> {
        Ok(match record.as_lock() {
            Some(stored) => self.carried(stored.value()).await?.map(|(_, bytes)| bytes),
            None => self.documents().read(record.key()).await?.map(|document| document.body),
        })
    }

    async fn put(&self, record: &Record) -> Result<Put> {
        for _ in 0..MOST_ATTEMPTS {
            let is_written = match record.as_lock() {
                Some(stored) => match self.try_stored(stored).await {
                    Ok(holder) => holder.is_none(),
                    // It is read again below, and reported.
                    Err(LegacyError::Damaged(Damaged { .. })) => false,
                    Err(error) => return Err(error),
                },
                None => {
                    let body = record.encode();
                    let put = self.documents().replace(record.key(), None, Some(&body)).await?;
                    put == Replacement::Done
                }
            };
            if is_written {
                return Ok(Put::Written);
            }
            if let Some(bytes) = RecordStore::read(self, record).await? {
                return Ok(record.beside(&bytes));
            }
        }
        Err(LegacyError::Contended { key: record.key().to_owned() })
    }

    /// When a lock is removed here, the next in its queue gets it.
    async fn remove(&self, record: &Record) -> Result<bool> {
        let expected = record.encode();
        let Some(stored) = record.as_lock() else {
            let Some(document) = self.documents().read(record.place()).await? else {
                return Ok(false);
            };
            // Another revision is another record, even with the same body.
            return Ok(document.body == expected && {
                let revision = Some(document.revision);
                let gone = self.documents().replace(record.place(), revision, None).await?;
                gone == Replacement::Done
            });
        };
        match self.carried(stored.value()).await? {
            Some((lease, bytes)) if bytes == expected => {
                Ok(self.manager().evict(&lease, MOVED).await?)
            }
            _ => Ok(false),
        }
    }
}
