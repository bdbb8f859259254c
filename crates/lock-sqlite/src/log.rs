//! The write-ahead log: its length, and when it is on the disk.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rusqlite::Connection;

/// Number of pages at which the log is written into the file, the default of SQLite.
const LONG: i32 = 1000;

/// The write-ahead log of the file.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    /// Length after the last commit of this process.
    pages: Arc<AtomicI32>,
    has_failed: AtomicBool,
}

impl Log {
    /// The log of the connection.
    ///
    /// SQLite itself would write a long log into the file in the commit that made it long. The hook
    /// only counts, as the thread of a task must not wait for the disk.
    pub(crate) fn new(file: File, connection: &mut Connection) -> rusqlite::Result<Self> {
        let pages = Arc::new(AtomicI32::new(0));
        let counted = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut _, pages| {
            counted.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { file, pages, has_failed: AtomicBool::new(false) })
    }

    pub(crate) fn is_long(&self) -> bool {
        self.pages.load(Ordering::Relaxed) >= LONG
    }

    /// Waits until every commit so far is on the disk, those of other processes included.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data().inspect_err(|_| self.has_failed.store(true, Ordering::Relaxed))
    }

    /// Fails once a sync has failed. The system may have dropped what it could not write, and reports
    /// that once: a later sync that succeeds says nothing about earlier commits.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.has_failed.load(Ordering::Relaxed) {
            true => Err(io::Error::other("its log could not be written to the disk")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_after_a_failed_sync() {
        let mut connection = Connection::open_in_memory().unwrap();
        // A device without a disk refuses to sync.
        let log = Log::new(File::open("/dev/null").unwrap(), &mut connection).unwrap();
        log.check().unwrap();
        log.sync().unwrap_err();
        log.check().unwrap_err();
    }
}
