//! Disks that are full or only to be read, where the tests may mount one.

use std::ffi::CString;
use std::fs;

use lock_core::{ErrorKind, ListQuery, LockBackend, LockInspector, Metadata, ReleaseRequest};
use lock_sqlite::SqliteError;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};
use tempfile::TempDir;

use crate::scene::{acquire, ask, open, refusal, skipped, words};

/// A disk of half a mebibyte.
struct Disk(TempDir);

impl Disk {
    fn mount(test: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = CString::new("size=512k").unwrap();
        match mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), Some(size.as_c_str())) {
            Ok(()) => Some(Self(folder)),
            Err(error) => {
                skipped(test, &format!("no disk can be mounted: {error}"));
                None
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(self.0.path(), UnmountFlags::DETACH).unwrap();
    }
}

#[tokio::test]
async fn full_disk_is_reported_and_undoes_nothing() {
    let Some(disk) = Disk::mount("full_disk_is_reported_and_undoes_nothing") else { return };
    let path = disk.0.path().join("locks.db");
    let store = open(&path);
    let text = "x".repeat(20_000);
    let metadata = Metadata::try_from(std::collections::BTreeMap::from([("a".to_owned(), text)]));
    let metadata = metadata.unwrap();
    let mut held = Vec::new();
    let error = loop {
        let request = ask(&format!("key-{}", held.len())).with_metadata(metadata.clone());
        match acquire(&store, &request).await {
            Ok(lease) => held.push(lease),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false), "{error:?}");
    assert!(words(&error).contains("free space on its disk"), "{error:?}");
    assert!(words(&error).contains("locks.db"), "{error:?}");
    let query = ListQuery::all().with_limit(1000.try_into().unwrap());
    let listed = store.list(&query).await.unwrap().value.items.len();
    assert_eq!(listed, held.len());
    assert!(listed > 3, "{listed} leases fit");
}

#[tokio::test]
async fn a_disk_with_room_again_takes_locks_again() {
    let Some(disk) = Disk::mount("a_disk_with_room_again_takes_locks_again") else { return };
    let store = open(&disk.0.path().join("locks.db"));
    let held = acquire(&store, &ask("held")).await.unwrap();
    let ballast = disk.0.path().join("ballast");
    let filled = fs::write(&ballast, vec![0; 512 * 1024]);
    filled.expect_err("there is not so much room");
    // The log may have some room yet.
    let mut number = 0;
    while acquire(&store, &ask(&format!("key-{number}"))).await.is_ok() {
        number += 1;
    }
    fs::remove_file(ballast).unwrap();
    acquire(&store, &ask("again")).await.unwrap();
    let _ = store.release(&ReleaseRequest::new(held.name())).await.unwrap();
}

#[tokio::test]
async fn a_disk_that_is_only_read_is_refused() {
    let Some(disk) = Disk::mount("a_disk_that_is_only_read_is_refused") else { return };
    let path = disk.0.path().join("locks.db");
    mount_remount(disk.0.path(), MountFlags::RDONLY, "").unwrap();
    let error = refusal(&path);
    assert!(matches!(error, SqliteError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("locks.db"), "{error}");
    assert_eq!(fs::read_dir(disk.0.path()).unwrap().count(), 0);
}

/// A container often gets a single file. Its log would be another than that of the file's own folder.
#[test]
fn a_file_that_is_mounted_alone_is_refused() {
    let Some(disk) = Disk::mount("a_file_that_is_mounted_alone_is_refused") else { return };
    let (path, folder) = (disk.0.path().join("locks.db"), tempfile::tempdir().unwrap());
    let mounted = folder.path().join("mounted.db");
    let _store = open(&path);
    fs::write(&mounted, "").unwrap();
    mount_bind(&path, &mounted).unwrap();
    let error = refusal(&mounted);
    unmount(&mounted, UnmountFlags::DETACH).unwrap();
    assert!(matches!(error, SqliteError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("mount its folder"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is made beside it");
}
