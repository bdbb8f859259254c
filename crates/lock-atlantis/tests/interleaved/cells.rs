//! A store in Atlantis' layout that is a map, each call of which is one step.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use lock_atlantis::fallback::FallbackStore;
use lock_atlantis::migrate::{Put, Record, RecordStore, Records, Source};
use lock_compat::legacy::{LegacyKey, Project, ProjectLock, Stored};
use lock_compat::{LegacyLocks, Listing, Result, Unlocking, VersionedStore};

/// The values by their keys.
#[derive(Debug, Default)]
pub(crate) struct Cells(Mutex<BTreeMap<String, Vec<u8>>>);

impl Cells {
    fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(key).cloned()
    }

    /// Replaces the value `old` by `new`, and returns `true` if it was there.
    fn swap(&self, key: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> bool {
        let mut cells = self.0.lock().unwrap();
        if cells.get(key).map(Vec::as_slice) != old {
            return false;
        }
        match new {
            Some(new) => drop(cells.insert(key.to_owned(), new.to_vec())),
            None => drop(cells.remove(key)),
        }
        true
    }

    /// All values, with their keys.
    pub(crate) fn all(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().unwrap().clone()
    }
}

fn key(project: &Project, workspace: &str) -> String {
    format!("pr/{}", LegacyKey::new(project.clone(), workspace))
}

fn lock_in(key: &str, bytes: &[u8]) -> ProjectLock {
    Stored::<ProjectLock>::read(key, bytes).unwrap().into_value()
}

#[async_trait]
impl VersionedStore for Cells {
    type Version = Vec<u8>;

    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        Ok(self.value(key).map(|bytes| (bytes.clone(), bytes)))
    }

    async fn compare_and_swap(
        &self,
        key: &str,
        seen: Option<Vec<u8>>,
        record: Option<&[u8]>,
    ) -> Result<bool> {
        Ok(self.swap(key, seen.as_deref(), record))
    }
}

#[async_trait]
impl LegacyLocks for Cells {
    async fn try_project(&self, lock: ProjectLock) -> Result<(bool, ProjectLock)> {
        let key = key(&lock.project, &lock.workspace);
        if self.swap(&key, None, Some(&Stored::new(lock.clone()).encode())) {
            return Ok((true, lock));
        }
        Ok((false, lock_in(&key, &self.value(&key).unwrap())))
    }

    async fn unlock_if(
        &self,
        project: &Project,
        workspace: &str,
        unlocking: Unlocking,
    ) -> Result<Option<ProjectLock>> {
        let key = key(project, workspace);
        let Some(bytes) = self.value(&key) else { return Ok(None) };
        let lock = lock_in(&key, &bytes);
        Ok((unlocking.may_end(&lock) && self.swap(&key, Some(&bytes), None)).then_some(lock))
    }

    async fn projects(&self) -> Result<Listing> {
        let locks = self.all().into_iter().filter(|(key, _)| key.starts_with("pr/"));
        Ok(Listing::new(locks.map(|(key, bytes)| lock_in(&key, &bytes)).collect(), Vec::new()))
    }

    async fn project(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>> {
        let key = key(project, workspace);
        Ok(self.value(&key).map(|bytes| lock_in(&key, &bytes)))
    }

    async fn unlock_all(&self, _repo: &str, _pull_num: i64) -> Result<Listing> {
        unreachable!("a fallback unlocks one lock at a time")
    }

    async fn reach(&self) -> Result<()> {
        Ok(())
    }

    async fn shut(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Source for Cells {
    async fn records(&self) -> Result<Records> {
        let mut records = Records::default();
        for (key, bytes) in self.all() {
            if !key.starts_with("lock-fallback/") {
                records.add(Record::read(&key, &bytes));
            }
        }
        Ok(records)
    }
}

#[async_trait]
impl RecordStore for Cells {
    async fn read(&self, record: &Record) -> Result<Option<Vec<u8>>> {
        Ok(self.value(record.key()))
    }

    async fn put(&self, record: &Record) -> Result<Put> {
        if self.swap(record.key(), None, Some(&record.encode())) {
            return Ok(Put::Written);
        }
        Ok(record.beside(&self.value(record.key()).unwrap()))
    }

    async fn remove(&self, record: &Record) -> Result<bool> {
        Ok(self.swap(record.place(), Some(&record.encode()), None))
    }
}

#[async_trait]
impl FallbackStore for Cells {
    async fn document(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.value(name))
    }

    async fn swap_document(
        &self,
        name: &str,
        old: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool> {
        Ok(self.swap(name, old, new))
    }

    async fn document_names(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.all().into_keys().filter(|key| key.starts_with(prefix)).collect())
    }
}
