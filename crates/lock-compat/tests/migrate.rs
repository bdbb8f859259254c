//! Everything that Atlantis stores is moved, reported and compared.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::path::Path;

use lock_compat::conformance::{lock, pull};
use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::{
    CommandLock, CommandName, LegacyKey, Outcome, ProjectResult, PullStatus, Timestamp,
    command_key, encode, pull_key,
};
use lock_compat::migrate::{BoltFile, Counts, Migration, Put, Record, Source, Target};
use lock_compat::{AtlantisRedis, LegacyBackend, LegacyError, LockAdapter, ServerConfig};
use lock_core::{LockManager, OwnerId};
use lock_memory::MemoryBackend;
use lock_testkit::server::RedisServer;
use tokio::sync::Notify;

fn adapter() -> LockAdapter {
    let owner = OwnerId::parse("atlantis").unwrap();
    LockAdapter::new(LockManager::new(MemoryBackend::new(), owner), MemoryDocuments::new())
}

async fn atlantis(server: &RedisServer) -> AtlantisRedis {
    AtlantisRedis::connect(ServerConfig::parse(&server.url()).unwrap()).await.unwrap()
}

fn plan(dir: &str) -> ProjectResult {
    ProjectResult::new("default", dir, CommandName::Plan, Outcome::Success)
}

/// Locks and statuses of so many pull requests, and the lock of a command.
async fn fill(store: &dyn LegacyBackend, locks: usize, statuses: usize) {
    for number in 0..locks {
        let lock = lock("acme/infra", &format!("modules/{number}"), "default", number as i64);
        assert!(store.try_lock(lock).await.unwrap().0);
    }
    for number in 0..statuses {
        let pull = pull("acme/infra", number as i64);
        store.update_pull_with_results(&pull, &[plan("modules"), plan("other")]).await.unwrap();
    }
    store.lock_command(CommandName::Apply, Timestamp::from_unix(7).unwrap()).await.unwrap();
}

async fn keys(store: &dyn Source) -> Vec<(String, Vec<u8>)> {
    let records = store.records().await.unwrap();
    assert!(records.damaged.is_empty(), "{:?}", records.damaged);
    let mut keys: Vec<_> =
        records.records.iter().map(|record| (record.key(), record.encode())).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn everything_is_copied_from_redis_to_any_store_and_back() {
    let (server, back) = (RedisServer::start().await, RedisServer::start().await);
    let (from, to, back) = (atlantis(&server).await, adapter(), atlantis(&back).await);
    fill(&from, 5000, 500).await;
    let report = Migration::copying(&from, &to).run().await.unwrap();
    insta::assert_snapshot!(report, @r"
    moved: 5000 locks, 500 statuses, 1 locks of commands
    there already: 0 locks, 0 statuses, 0 locks of commands
    compared: 5501 of 5501 are the same on both sides
    skipped: 0
    ");
    assert!(report.is_clean());
    let again = Migration::copying(&from, &to).run().await.unwrap();
    assert_eq!((again.moved.total(), again.same.total()), (0, 5501));
    assert!(again.is_clean());
    assert!(Migration::copying(&to, &back).run().await.unwrap().is_clean());
    assert_eq!(keys(&back).await, keys(&from).await);
    assert_eq!(server.command(&["DBSIZE"]).await, "5501");
}

#[tokio::test]
async fn dry_run_tells_and_changes_nothing() {
    let (from, to) = (adapter(), adapter());
    fill(&from, 3, 2).await;
    let held = lock("acme/infra", "modules/0", "default", 99);
    to.try_lock(held).await.unwrap();
    let report = Migration::moving(&from, &to).dry_run().run().await.unwrap();
    insta::assert_snapshot!(report, @r"
    would be moved: 2 locks, 2 statuses, 1 locks of commands
    there already: 0 locks, 0 statuses, 0 locks of commands
    skipped: 1
      pr/acme/infra/modules/0/default/: the target has another
    ");
    assert_eq!((keys(&from).await.len(), keys(&to).await.len()), (6, 1));
}

#[tokio::test]
async fn what_the_target_has_stays_and_is_reported() {
    let (from, to) = (adapter(), adapter());
    fill(&from, 2, 2).await;
    to.try_lock(lock("acme/infra", "modules/0", "default", 99)).await.unwrap();
    to.update_pull_with_results(&pull("acme/infra", 1), &[plan("else")]).await.unwrap();
    let report = Migration::moving(&from, &to).run().await.unwrap();
    insta::assert_snapshot!(report, @r"
    moved: 1 locks, 1 statuses, 1 locks of commands
    there already: 0 locks, 0 statuses, 0 locks of commands
    removed at the source: 1 locks, 1 statuses, 1 locks of commands
    compared: 3 of 3 are the same on both sides
    skipped: 2
      pr/acme/infra/modules/0/default/: the target has another
      github.com::acme/infra::1: the target has another
    ");
    assert!(!report.is_clean());
    let held = to.list().await.unwrap().locks;
    assert!(held.iter().any(|lock| lock.pull.num == 99));
    // What was not moved is still where it was.
    assert_eq!(keys(&from).await.len(), 2);
}

#[tokio::test]
async fn damaged_records_hide_no_other() {
    let server = RedisServer::start().await;
    let (from, to) = (atlantis(&server).await, adapter());
    fill(&from, 1, 1).await;
    for (key, text) in [
        ("pr/acme/infra/bad/default/", "{\"token\":\"hunter2\""),
        ("github.com::acme/infra::77", "[]"),
        ("global/plan/lock", "7"),
        ("{lock:0}:state:a::b::5", "not ours"),
        ("a::b", "not ours"),
    ] {
        assert_eq!(server.command(&["SET", key, text]).await, "OK");
    }
    let report = Migration::copying(&from, &to).run().await.unwrap();
    insta::assert_snapshot!(report, @r"
    moved: 1 locks, 1 statuses, 1 locks of commands
    there already: 0 locks, 0 statuses, 0 locks of commands
    compared: 3 of 3 are the same on both sides
    skipped: 3
      pr/acme/infra/bad/default/: it ends too early at line 1 column 18
      github.com::acme/infra::77: a value of another type at line 1 column 0
      global/plan/lock: a value of another type at line 1 column 1
    ");
}

#[tokio::test]
async fn what_is_outside_of_the_limits_is_refused_by_itself() {
    let server = RedisServer::start().await;
    let (from, to) = (atlantis(&server).await, adapter());
    from.try_lock(lock("acme/infra", &"x".repeat(2000), "default", 1)).await.unwrap();
    from.try_lock(lock("acme/infra", "short", "default", 1)).await.unwrap();
    let report = Migration::copying(&from, &to).run().await.unwrap();
    assert_eq!((report.moved.locks, report.skipped.len()), (1, 1));
    assert!(report.to_string().contains("key"), "{report}");
}

#[tokio::test]
async fn moving_empties_the_source_of_what_arrived() {
    let (from, to) = (adapter(), adapter());
    fill(&from, 20, 5).await;
    let all = keys(&from).await;
    let report = Migration::moving(&from, &to).run().await.unwrap();
    assert!(report.is_clean());
    assert_eq!(report.removed.total(), 26);
    assert!(keys(&from).await.is_empty());
    assert_eq!(keys(&to).await, all);
}

#[tokio::test]
async fn migration_that_is_interrupted_goes_on() {
    let server = RedisServer::start().await;
    let (from, to) = (atlantis(&server).await, adapter());
    fill(&from, 20, 5).await;
    let all = keys(&from).await;
    let mut left = all.len();
    for _ in 0..5 {
        // It is dropped at the first await after the third record.
        let third = Notify::new();
        let migration = Migration::moving(&from, &to).on_progress(|progress| {
            if progress.done == 3 {
                third.notify_one();
            }
        });
        tokio::select! {
            biased;
            () = third.notified() => {}
            report = migration.run() => unreachable!("{report:?}"),
        }
        let now = keys(&from).await.len();
        assert!(now < left && now > 0, "{now} of {left} are left");
        left = now;
    }
    let report = Migration::moving(&from, &to).run().await.unwrap();
    assert!(report.skipped.is_empty(), "{report}");
    assert!(keys(&from).await.is_empty());
    assert_eq!(keys(&to).await, all);
}

#[tokio::test]
async fn progress_is_told_to_the_end() {
    let (from, to) = (adapter(), adapter());
    fill(&from, 3, 0).await;
    let told = std::sync::Mutex::new(Vec::new());
    let migration = Migration::copying(&from, &to);
    let tell = |progress: lock_compat::migrate::Progress| {
        told.lock().unwrap().push((progress.done, progress.total));
    };
    migration.on_progress(tell).run().await.unwrap();
    assert_eq!(*told.lock().unwrap(), [(1, 4), (2, 4), (3, 4), (4, 4)]);
}

#[tokio::test]
async fn only_the_very_record_is_removed() {
    let server = RedisServer::start().await;
    let stores: [Box<dyn Target>; 2] = [Box::new(adapter()), Box::new(atlantis(&server).await)];
    for store in &stores {
        let mut status = PullStatus::default();
        status.pull = pull("acme/infra", 1);
        let key = pull_key(&status.pull).unwrap();
        let first = Record::status(&key, &encode(&status)).unwrap();
        status.projects = Some(Vec::new());
        let second = Record::status(&key, &encode(&status)).unwrap();
        assert_eq!(store.put(&first).await.unwrap(), Put::Written);
        assert_eq!(store.put(&first).await.unwrap(), Put::Same);
        assert_eq!(store.put(&second).await.unwrap(), Put::Conflict);
        assert!(!store.remove(&second).await.unwrap());
        assert_eq!(store.read(&second).await.unwrap(), Some(first.clone()));
        assert!(store.remove(&first).await.unwrap());
        assert!(!store.remove(&first).await.unwrap());
    }
}

/// What is put into a file of `BoltDB`: a bucket, a key and a value.
type Entry<'a> = (&'a [u8], &'a str, &'a [u8]);

fn bolt(path: &Path, entries: &[Entry<'_>]) {
    let mut db = nut::DBBuilder::new(path).build().unwrap();
    let mut tx = db.begin_rw_tx().unwrap();
    for (bucket, key, value) in entries {
        let mut bucket = tx.create_bucket_if_not_exists(bucket).unwrap();
        bucket.put(key.as_bytes(), value.to_vec()).unwrap();
    }
    tx.commit().unwrap();
}

#[tokio::test]
async fn file_of_an_atlantis_without_redis_is_imported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("atlantis.db");
    let named = {
        let mut lock = lock("acme/infra", "a", "default", 1);
        "name".clone_into(&mut lock.project.project_name);
        lock
    };
    let nested = lock("group/sub/repo", "a/b/c", "default", 2);
    let apply = CommandLock::new(CommandName::Apply, Timestamp::from_unix(7).unwrap());
    let mut status = PullStatus::default();
    status.pull = pull("acme/infra", 1);
    bolt(
        &path,
        &[
            (b"runLocks", &LegacyKey::of(&named).to_string(), &encode(&named)),
            (b"runLocks", &LegacyKey::of(&nested).before_names(), &encode(&nested)),
            (b"runLocks", "acme/infra/bad/default", b"{"),
            (b"pulls", "github.com::acme/infra::1", &encode(&status)),
            (b"globalLocks", "apply/lock", &encode(&apply)),
        ],
    );
    let before = std::fs::read(&path).unwrap();
    let file = BoltFile::open_copy(&path).await.unwrap();
    // The copy is all that is needed from here on.
    std::fs::remove_file(&path).unwrap();
    let to = adapter();
    let report = Migration::copying(&file, &to).run().await.unwrap();
    insta::assert_snapshot!(report, @r"
    moved: 2 locks, 1 statuses, 1 locks of commands
    there already: 0 locks, 0 statuses, 0 locks of commands
    compared: 4 of 4 are the same on both sides
    skipped: 1
      acme/infra/bad/default: it ends too early at line 1 column 1
    ");
    for lock in [named, nested] {
        let seen = to.get_lock(&lock.project, "default").await.unwrap();
        assert_eq!(seen, Some(lock));
    }
    assert_eq!(to.check_command_lock(CommandName::Apply).await.unwrap(), Some(apply));
    assert_eq!(command_key(CommandName::Apply), "global/apply/lock");
    assert!(!before.is_empty());
    let counts: Counts = report.moved;
    assert_eq!(counts.total(), 4);
}

#[tokio::test]
async fn file_without_some_buckets_has_nothing_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("atlantis.db");
    let held = lock("acme/infra", "a", "default", 1);
    bolt(&path, &[(b"runLocks", "acme/infra/a/default/", &encode(&held))]);
    let file = BoltFile::open_copy(&path).await.unwrap();
    assert_eq!(file.records().await.unwrap().records.len(), 1);
}

#[tokio::test]
async fn what_is_no_store_of_atlantis_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("atlantis.db");
    for content in [None, Some(&b""[..]), Some(b"not a database"), Some(&[0; 65_536])] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let error = BoltFile::open_copy(&path).await.unwrap_err();
        let LegacyError::Unreadable { path: named, .. } = &error else { unreachable!("{error:?}") };
        assert_eq!(*named, path);
    }
}
