//! Atlantis' `BoltDB` file is read from a copy, whatever is in it.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod moving;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lock_atlantis::migrate::{BoltError, BoltFile, Migration, Record, Source};
use lock_compat::LegacyBackend;
use lock_compat::conformance::{lock, pull};
use lock_compat::legacy::{
    CommandLock, CommandName, LegacyKey, ProjectLock, PullStatus, Timestamp, encode,
};
use moving::{adapter, assert_all_moves, numbered};

type Entry<'a> = (&'a str, &'a [u8], &'a [u8]);

/// A file with these values under these keys of these buckets.
fn write(path: &Path, entries: &[Entry<'_>]) {
    let mut database = nut::DBBuilder::new(path).build().unwrap();
    let mut transaction = database.begin_rw_tx().unwrap();
    for (bucket, key, value) in entries {
        let mut bucket = transaction.create_bucket_if_not_exists(bucket.as_bytes()).unwrap();
        bucket.put(key, value.to_vec()).unwrap();
    }
    transaction.commit().unwrap();
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("atlantis.db");
    (folder, path)
}

fn status(num: i64) -> Vec<u8> {
    let mut status = PullStatus::default();
    status.pull = pull("acme/infra", num);
    encode(&status)
}

fn apply() -> CommandLock {
    CommandLock::new(CommandName::Apply, Timestamp::from_unix(7).unwrap())
}

#[tokio::test]
async fn everything_is_imported_and_the_file_stays_as_it_was() {
    let (_folder, path) = file();
    let mut named = lock("acme/infra", "a", "default", 1);
    "name".clone_into(&mut named.project.project_name);
    let nested = lock("group/sub/repo", "a/b/c", "default", 2);
    let plain = lock("acme/infra", ".", "default", 3);
    let twice = lock("acme/infra", "twice", "default", 4);
    let key = |lock: &ProjectLock| LegacyKey::of(lock).to_string().into_bytes();
    let old_key = |lock: &ProjectLock| LegacyKey::of(lock).before_names().into_bytes();
    write(
        &path,
        &[
            ("runLocks", &key(&named), &encode(&named)),
            ("runLocks", &old_key(&nested), &encode(&nested)),
            ("runLocks", &old_key(&plain), &encode(&plain)),
            ("runLocks", &key(&twice), &encode(&twice)),
            ("runLocks", &old_key(&twice), &encode(&twice)),
            ("runLocks", b"acme/infra/bad/default", b"{\"token\":\"hunter2\""),
            ("runLocks", b"acme/infra/other/default", &encode(&plain)),
            ("runLocks", b"\xff", &encode(&plain)),
            ("pulls", b"github.com::acme/infra::1", &status(1)),
            ("pulls", b"github.com::acme/infra", &status(1)),
            ("globalLocks", b"apply/lock", &encode(&apply())),
            ("globalLocks", b"plan/lock", b""),
            ("others", b"key", b"value"),
        ],
    );
    let before = std::fs::read(&path).unwrap();
    let (file, to) = (BoltFile::open_copy(&path).await.unwrap(), adapter());
    let report = Migration::new(&file, &to).run().await.unwrap();
    insta::assert_snapshot!(report, @r#"
    records                   locks  statuses  commands
    moved                         4         1         1
    there already                 1         0         0
    in conflict                   0         0         0
    refused                       0         0         0
    different                     0         0         0
    removed at the source         0         0         0
    damaged at the source: 5
    others at the target: 0
    damaged: the record "pr/acme/infra/bad/default" cannot be read: it ends too early at line 1 column 18
    damaged: the record "pr/acme/infra/other/default" cannot be read: it is the lock of another project than its key
    damaged: the record "pr/�" cannot be read: its key is not text
    damaged: the record "github.com::acme/infra" cannot be read: its key is not that of a record
    damaged: the record "global/plan/lock" cannot be read: it ends too early at line 1 column 0
    not everything is on both sides: see above
    "#);
    let again = Migration::new(&file, &to).run().await.unwrap();
    assert_eq!((again.moved.len(), again.same.len()), (0, 7));
    for lock in [named, nested, plain, twice] {
        assert_eq!(to.get_lock(&lock.project, "default").await.unwrap(), Some(lock));
    }
    assert_eq!(to.check_command_lock(CommandName::Apply).await.unwrap(), Some(apply()));
    assert!(to.get_pull_status(&pull("acme/infra", 1)).await.unwrap().is_some());
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn file_of_many_pages_is_read_whole() {
    let (_folder, path) = file();
    let locks: Vec<_> = (0..5000).map(|num| encode_with_key(&numbered(num))).collect();
    let statuses: Vec<_> = (0..500)
        .map(|num| (format!("github.com::acme/infra::{num}").into_bytes(), status(num)))
        .collect();
    let locks = locks.iter().map(|(key, value)| ("runLocks", &key[..], &value[..]));
    let statuses = statuses.iter().map(|(key, value)| ("pulls", &key[..], &value[..]));
    write(&path, &locks.chain(statuses).collect::<Vec<_>>());
    let file = BoltFile::open_copy(&path).await.unwrap();
    assert_all_moves(&file, &adapter(), 5500).await;
}

fn encode_with_key(lock: &ProjectLock) -> (Vec<u8>, Vec<u8>) {
    (LegacyKey::of(lock).to_string().into_bytes(), encode(lock))
}

#[tokio::test]
async fn bucket_that_is_not_there_is_empty() {
    let (_folder, path) = file();
    write(&path, &[]);
    let none = BoltFile::open_copy(&path).await.unwrap().records().await.unwrap();
    assert!(none.records.is_empty() && none.damaged.is_empty());
    write(&path, &[("pulls", b"github.com::acme/infra::1", &status(1))]);
    let one = BoltFile::open_copy(&path).await.unwrap().records().await.unwrap();
    assert_eq!((one.records.len(), one.damaged.len()), (1, 0));
}

#[tokio::test]
async fn file_that_is_open_elsewhere_is_read() {
    let (_folder, path) = file();
    write(&path, &[("globalLocks", b"apply/lock", &encode(&apply()))]);
    // This takes the lock that Atlantis holds as long as it runs.
    let running = nut::DBBuilder::new(&path).build().unwrap();
    let file = BoltFile::open_copy(&path).await.unwrap();
    assert_eq!(file.records().await.unwrap().records.len(), 1);
    drop(running);
}

#[tokio::test]
async fn file_that_is_written_to_is_read_as_it_was_at_one_moment() {
    let (_folder, path) = file();
    // Every transaction writes the same number into all locks.
    let write_all = |path: &Path, num: i64| {
        let locks: Vec<_> = (0..20)
            .map(|at| encode_with_key(&lock("acme/infra", &format!("m/{at}"), "default", num)))
            .collect();
        let entries = locks.iter().map(|(key, value)| ("runLocks", &key[..], &value[..]));
        write(path, &entries.collect::<Vec<_>>());
    };
    write_all(&path, 0);
    let writer = std::thread::spawn({
        let path = path.clone();
        move || (1..=300).for_each(|num| write_all(&path, num))
    });
    loop {
        let is_last = writer.is_finished();
        match BoltFile::open_copy(&path).await {
            Ok(file) => match file.records().await {
                Ok(records) => {
                    let num_of = |record: &Record| record.as_lock().unwrap().value().pull.num;
                    let nums: BTreeSet<_> = records.records.iter().map(num_of).collect();
                    assert_eq!((records.records.len(), nums.len()), (20, 1), "{nums:?}");
                    if is_last {
                        assert_eq!(nums, [300].into());
                        break;
                    }
                }
                Err(error) => assert!(is_busy(&error) && !is_last, "{error:?}"),
            },
            Err(error) => assert!(is_busy(&error) && !is_last, "{error:?}"),
        }
    }
    writer.join().unwrap();
}

/// Returns `true` if the error, or its source, is that the file kept changing.
fn is_busy(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_this = matches!(error.downcast_ref(), Some(BoltError::Busy { .. }));
    is_this || error.source().is_some_and(is_busy)
}

#[tokio::test]
async fn what_is_no_bolt_file_is_an_error_that_names_it() {
    let (folder, path) = file();
    let missing = BoltFile::open_copy(&path).await.unwrap_err();
    assert!(matches!(&missing, BoltError::Copy { path: named, .. } if *named == path));
    let directory = BoltFile::open_copy(folder.path()).await.unwrap_err();
    assert!(matches!(directory, BoltError::Copy { .. }), "{directory:?}");
    let mut shown = Vec::new();
    for content in [&b""[..], b"not a database", &[0; 65_536], &[0xff; 65_536]] {
        std::fs::write(&path, content).unwrap();
        let error = BoltFile::open_copy(&path).await.unwrap_err();
        assert!(error.to_string().contains(&*path.to_string_lossy()));
        shown.push(error.to_string().replace(&*path.to_string_lossy(), "PATH"));
    }
    insta::assert_debug_snapshot!(shown, @r#"
    [
        "the file PATH cannot be read as a BoltDB file: File is too small",
        "the file PATH cannot be read as a BoltDB file: Unexpected: failed to fill whole buffer",
        "the file PATH cannot be read as a BoltDB file: Invalid database",
        "the file PATH cannot be read as a BoltDB file: Invalid database",
    ]
    "#);
}

#[tokio::test]
async fn damage_anywhere_in_the_file_is_no_crash() {
    let (_folder, path) = file();
    let entries: Vec<_> = (0..100).map(|num| encode_with_key(&numbered(num))).collect();
    let entries = entries.iter().map(|(key, value)| ("runLocks", &key[..], &value[..]));
    write(&path, &entries.collect::<Vec<_>>());
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 200) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        std::fs::write(&path, &damaged).unwrap();
        let _ = BoltFile::open_copy(&path).await;
        std::fs::write(&path, &whole[..at]).unwrap();
        let _ = BoltFile::open_copy(&path).await;
    }
}

/// The file was written by bbolt 1.3.6, with the values of the golden files of `lock-compat`.
#[tokio::test]
async fn file_of_a_real_bbolt_is_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/atlantis.db");
    let (file, to) = (BoltFile::open_copy(path).await.unwrap(), adapter());
    let report = Migration::new(&file, &to).run().await.unwrap();
    assert!(report.is_clean(), "{report}");
    let mut keys: Vec<_> = report.moved.iter().map(|name| name.key.as_str()).collect();
    keys.sort_unstable();
    let expected =
        ["github.com::acme/infra::7", "global/apply/lock", "pr/acme/infra/modules/vpc/default/vpc"];
    assert_eq!(keys, expected);
}
