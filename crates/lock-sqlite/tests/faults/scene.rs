//! Shared parts of the tests.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, Error, KeepAlive, Lease, LockBackend, LockKey, OwnerId, RequestId,
};
use lock_sqlite::{SqliteBackend, SqliteConfig, SqliteError};
use tempfile::TempDir;

/// A folder, and where the file is in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks.db");
    (folder, path)
}

pub(crate) fn open(path: &Path) -> SqliteBackend {
    SqliteConfig::new(path).open().unwrap()
}

pub(crate) fn refusal(path: &Path) -> SqliteError {
    SqliteConfig::new(path).open().unwrap_err()
}

pub(crate) fn ask(key: &str) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(key).unwrap(), OwnerId::parse("alice").unwrap());
    AcquireRequest::new(RequestId::random(), key, owner)
}

pub(crate) fn queueing(key: &str) -> AcquireRequest {
    ask(key).queueing(KeepAlive::parse(Duration::from_secs(60)).unwrap())
}

pub(crate) async fn acquire(
    store: &SqliteBackend,
    request: &AcquireRequest,
) -> Result<Lease, Error> {
    match store.acquire(request).await?.value {
        Acquisition::Granted(lease) => Ok(lease),
        other => panic!("expected a grant, got {other:?}"),
    }
}

/// Returns an error with all its causes.
pub(crate) fn words(error: &Error) -> String {
    format!("{error:?}")
}

/// Says that a test did not run, where those who count look for it.
pub(crate) fn skipped(test: &str, reason: &str) {
    let line = format!("skipped: {test}: {reason}\n");
    print!("{line}");
    if let Some(path) = std::env::var_os("LOCK_SKIPPED") {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}
