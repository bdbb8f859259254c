//! Disks that are full, only to be read or behind FUSE, where the tests may mount one.

use std::ffi::CString;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use lock_core::{
    ErrorKind, ListQuery, LockBackend, LockInspector, Metadata, ReleaseRequest, RenewRequest,
    Renewal, Ttl,
};
use lock_sqlite::SqliteError;
use rustix::fs::{IFlags, ioctl_setflags};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};
use tempfile::TempDir;

use crate::scene::{acquire, ask, open, place, refusal, skipped, words};

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

/// A renewal writes, too.
#[tokio::test]
async fn a_full_disk_renews_nothing_and_ends_nothing() {
    let Some(disk) = Disk::mount("a_full_disk_renews_nothing_and_ends_nothing") else { return };
    let store = open(&disk.0.path().join("locks.db"));
    let held = acquire(&store, &ask("held")).await.unwrap();
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![0; 512 * 1024]).expect_err("there is not so much room");
    let renewal = [RenewRequest::new(held.name(), Ttl::default())];
    let renew = async || store.renew(&renewal).await.remove(0).map(|renewed| renewed.value);
    let mut last = held.expires_at;
    // The log may have some room yet.
    let error = loop {
        match renew().await {
            Ok(Renewal::Renewed { expires_at }) => last = expires_at,
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false), "{error:?}");
    assert!(words(&error).contains("free space on its disk"), "{error:?}");
    let found = store.list(&ListQuery::all()).await.unwrap().value.items;
    assert_eq!((found.len(), found[0].token, found[0].expires_at), (1, held.token, last));
    fs::remove_file(ballast).unwrap();
    let renewed = renew().await.unwrap();
    assert!(
        matches!(&renewed, Renewal::Renewed { expires_at } if *expires_at > last),
        "{renewed:?}"
    );
}

/// A file that may not be modified any more.
struct Immutable(File);

impl Immutable {
    fn set(path: &Path, test: &str) -> Option<Self> {
        let file = File::open(path).unwrap();
        match ioctl_setflags(&file, IFlags::IMMUTABLE) {
            Ok(()) => Some(Self(file)),
            Err(error) => {
                skipped(test, &format!("no file can be made immutable: {error}"));
                None
            }
        }
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        ioctl_setflags(&self.0, IFlags::empty()).unwrap();
    }
}

/// As a file system does that the system mounts anew for reading after an error of its disk.
#[tokio::test]
async fn a_file_that_turns_read_only_takes_no_locks_until_it_is_writable() {
    let test = "a_file_that_turns_read_only_takes_no_locks_until_it_is_writable";
    let (_folder, path) = place();
    let store = open(&path);
    let held = acquire(&store, &ask("held")).await.unwrap();
    let Some(read_only) = Immutable::set(&path.with_extension("db-wal"), test) else { return };
    let renewal = [RenewRequest::new(held.name(), Ttl::default())];
    let renewed = store.renew(&renewal).await.remove(0).unwrap_err();
    let released = store.release(&ReleaseRequest::new(held.name())).await.unwrap_err();
    let taken = acquire(&store, &ask("other")).await.unwrap_err();
    for error in [renewed, released, taken] {
        assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, true));
        assert!(words(&error).contains("locks.db"), "{error:?}");
    }
    let found = store.list(&ListQuery::all()).await.unwrap().value.items;
    assert_eq!(found, std::slice::from_ref(&held));
    drop(read_only);
    let renewed = store.renew(&renewal).await.remove(0).unwrap().value;
    assert!(matches!(renewed, Renewal::Renewed { .. }), "{renewed:?}");
    acquire(&store, &ask("other")).await.unwrap();
}

/// A folder that is seen through FUSE.
struct Fuse(TempDir);

impl Fuse {
    fn mount(test: &str, of: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        match Command::new("bindfs").arg(of).arg(folder.path()).output() {
            Ok(mounted) if mounted.status.success() => Some(Self(folder)),
            Ok(refused) => {
                skipped(test, &format!("no FUSE: {}", String::from_utf8_lossy(&refused.stderr)));
                None
            }
            Err(_) => {
                skipped(test, "there is no bindfs");
                None
            }
        }
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        unmount(self.0.path(), UnmountFlags::DETACH).unwrap();
    }
}

#[tokio::test]
async fn a_file_on_fuse_is_a_warning_of_health() {
    let (folder, _) = place();
    let test = "a_file_on_fuse_is_a_warning_of_health";
    let Some(fuse) = Fuse::mount(test, folder.path()) else { return };
    let store = open(&fuse.0.path().join("locks.db"));
    acquire(&store, &ask("key")).await.unwrap();
    let warnings = store.health().await.unwrap().warnings;
    assert!(warnings[0].contains("is on FUSE, which may be a network: "), "{warnings:?}");
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
    assert!(matches!(error, SqliteError::NamedTwice { .. }), "{error}");
    assert!(error.to_string().contains("mount its folder"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is made beside it");
}
