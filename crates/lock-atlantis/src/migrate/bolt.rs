//! Atlantis' `BoltDB` file as the source of a migration.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use nut::{DB, DBBuilder};
use tempfile::NamedTempFile;

use super::{Record, Records, Source};
use lock_compat::legacy::Damaged;
use lock_compat::{LegacyError, Result};

/// Maximum attempts to copy a file that changes meanwhile.
const MOST_COPIES: usize = 20;
/// The buckets, with the prefixes of their keys in Atlantis' Redis.
const BUCKETS: [(&str, &str); 3] = [("runLocks", "pr/"), ("pulls", ""), ("globalLocks", "global/")];

/// The file in which Atlantis keeps its records, usually `atlantis.db`.
///
/// It is never opened as a database, nor written to: each read makes a copy in the folder for
/// temporary files and reads that. So a running Atlantis, which keeps the file locked, is not
/// disturbed.
#[derive(Clone, Debug)]
pub struct BoltFile {
    path: PathBuf,
}

/// The reason why a `BoltDB` file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoltError {
    /// The file cannot be copied.
    #[error("the file {} cannot be copied", path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file changes so often that no copy of it is consistent.
    #[error("the file {} keeps changing", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a `BoltDB` file, or is damaged.
    #[error("the file {} cannot be read as a BoltDB file: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

impl BoltFile {
    /// Reads a copy of the file once, to validate it.
    ///
    /// # Errors
    /// [`BoltError`] when the file cannot be copied or is not a `BoltDB` file.
    ///
    /// # Cancel safety
    /// It may be dropped at any time; the copy is removed as soon as it was read.
    pub async fn open_copy(path: impl Into<PathBuf>) -> Result<Self, BoltError> {
        let file = Self { path: path.into() };
        file.read().await?;
        Ok(file)
    }

    async fn read(&self) -> Result<Records, BoltError> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || {
            let copy = copied(&path)?;
            read(copy.path()).map_err(|error| unreadable(&path, error.to_string()))
        });
        // The reader panics on some damaged files.
        read.await.unwrap_or_else(|error| Err(unreadable(&self.path, error.to_string())))
    }
}

#[async_trait]
impl Source for BoltFile {
    async fn records(&self) -> Result<Records> {
        self.read().await.map_err(|error| LegacyError::store(false, error))
    }
}

fn unreadable(path: &Path, reason: String) -> BoltError {
    BoltError::Unreadable { path: path.to_owned(), reason }
}

/// A copy of the file as it was at one moment, which only this user can read.
fn copied(path: &Path) -> Result<NamedTempFile, BoltError> {
    let copy = || {
        let mut copy = NamedTempFile::new()?;
        for _ in 0..MOST_COPIES {
            copy.as_file().set_len(0)?;
            copy.rewind()?;
            io::copy(&mut File::open(path)?, &mut copy)?;
            // A file that is still the same after all of it was read was consistent in between.
            if is_same(File::open(path)?, copy.reopen()?)? {
                // The reader checks the allocated size of the file.
                copy.as_file().sync_all()?;
                return Ok(Some(copy));
            }
        }
        Ok(None)
    };
    match copy() {
        Ok(Some(copy)) => Ok(copy),
        Ok(None) => Err(BoltError::Busy { path: path.to_owned() }),
        Err(source) => Err(BoltError::Copy { path: path.to_owned(), source }),
    }
}

fn is_same(one: File, other: File) -> io::Result<bool> {
    let (mut one, mut other) = (BufReader::new(one), BufReader::new(other));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let length = left.len().min(right.len());
        if left[..length] != right[..length] {
            return Ok(false);
        }
        if length == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        one.consume(length);
        other.consume(length);
    }
}

/// The records of a private copy. A missing bucket is empty.
fn read(path: &Path) -> Result<Records, nut::Error> {
    let database: DB = DBBuilder::new(path).read_only(true).build()?;
    let transaction = database.begin_tx()?;
    let mut records = Records::default();
    for (name, prefix) in BUCKETS {
        let bucket = match transaction.bucket(name.as_bytes()) {
            Ok(bucket) => bucket,
            Err(nut::Error::BucketNotFound) => continue,
            Err(error) => return Err(error),
        };
        let add = |key: &[u8], value: Option<&[u8]>| {
            records.add(match std::str::from_utf8(key) {
                Ok(key) => Record::read(&format!("{prefix}{key}"), value.unwrap_or_default()),
                Err(_) => {
                    let key = format!("{prefix}{}", String::from_utf8_lossy(key));
                    Err(Damaged::new(key, "its key is not text"))
                }
            });
            Ok::<(), nut::Error>(())
        };
        bucket.for_each(Box::new(add))?;
    }
    Ok(records)
}
