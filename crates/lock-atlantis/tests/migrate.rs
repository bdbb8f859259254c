//! Everything that Atlantis stores is moved, reported and compared.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod moving;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use lock_atlantis::migrate::{
    Migration, Phase, Progress, Put, Record, RecordStore, Records, Source,
};
use lock_atlantis::{AtlantisRedis, ServerConfig};
use lock_compat::conformance::{lock, pull};
use lock_compat::documents::{DocumentStore, MemoryDocuments};
use lock_compat::legacy::{
    CommandName, LegacyKey, Outcome, ProjectLock, ProjectResult, PullStatus, Stored, Timestamp,
    encode, pull_key,
};
use lock_compat::{LegacyBackend, LegacyError, LockAdapter, Result};
use lock_testkit_redis::server::RedisServer;
use moving::{adapter, assert_all_moves, content, numbered, over};

async fn atlantis(server: &RedisServer) -> AtlantisRedis {
    let config = ServerConfig::parse(&server.url()).unwrap();
    AtlantisRedis::connect_without_migration(config).await.unwrap()
}

fn plan(dir: &str) -> ProjectResult {
    ProjectResult::new("default", dir, CommandName::Plan, Outcome::Success)
}

/// Locks and statuses of this many pull requests, and the lock of a command.
async fn fill(store: &dyn LegacyBackend, locks: i64, statuses: i64) {
    for number in 0..locks {
        assert!(store.try_lock(numbered(number)).await.unwrap().0);
    }
    for number in 0..statuses {
        let pull = pull("acme/infra", number);
        store.update_pull_with_results(&pull, &[plan("modules"), plan("other")]).await.unwrap();
    }
    store.lock_command(CommandName::Apply, Timestamp::from_unix(7).unwrap()).await.unwrap();
}

#[tokio::test]
async fn everything_is_copied_from_redis_to_any_store_and_back() {
    let (server, other) = (RedisServer::start().await, RedisServer::start().await);
    let (from, to, back) = (atlantis(&server).await, adapter(), atlantis(&other).await);
    fill(&from, 5000, 500).await;
    let report = assert_all_moves(&from, &to, 5501).await;
    insta::assert_snapshot!(report, @r"
    records                   locks  statuses  commands
    moved                      5000       500         1
    there already                 0         0         0
    in conflict                   0         0         0
    refused                       0         0         0
    different                     0         0         0
    removed at the source         0         0         0
    damaged at the source: 0
    others at the target: 0
    both sides agree
    ");
    assert_all_moves(&to, &back, 5501).await;
    assert_eq!(server.command(&["DBSIZE"]).await, "5501");
}

#[tokio::test]
async fn dry_run_reports_and_changes_nothing() {
    let (from, to) = (adapter(), adapter());
    fill(&from, 3, 2).await;
    to.try_lock(lock("acme/infra", "modules/0", "default", 99)).await.unwrap();
    let (source, target) = (content(&from).await, content(&to).await);
    let report = Migration::removing_source(&from, &to).dry_run().run().await.unwrap();
    insta::assert_snapshot!(report, @r#"
    records                   locks  statuses  commands
    would be moved                2         2         1
    there already                 0         0         0
    in conflict                   1         0         0
    refused                       0         0         0
    different                     0         0         0
    removed at the source         0         0         0
    damaged at the source: 0
    others at the target: 0
    in conflict: "pr/acme/infra/modules/0/default/": the target keeps a lock of pull request 99 of "acme/infra"
    nothing was written: it was a dry run
    "#);
    assert!(!report.is_clean());
    assert_eq!((content(&from).await, content(&to).await), (source, target));
}

#[tokio::test]
async fn what_the_target_has_stays_and_is_reported() {
    let (from, to) = (adapter(), adapter());
    fill(&from, 3, 2).await;
    let held = lock("acme/infra", "modules/0", "default", 99);
    to.try_lock(held.clone()).await.unwrap();
    let spaced = String::from_utf8(encode(&numbered(1))).unwrap().replacen(':', ": ", 1);
    let spaced = Stored::read("pr/", spaced.as_bytes()).unwrap();
    assert_eq!(to.try_stored(&spaced).await.unwrap(), None);
    to.try_lock(lock("acme/other", ".", "default", 1)).await.unwrap();
    to.update_pull_with_results(&pull("acme/infra", 1), &[plan("else")]).await.unwrap();
    to.lock_command(CommandName::Apply, Timestamp::from_unix(8).unwrap()).await.unwrap();
    let report = Migration::removing_source(&from, &to).run().await.unwrap();
    insta::assert_snapshot!(report, @r#"
    records                   locks  statuses  commands
    moved                         1         1         0
    there already                 0         0         0
    in conflict                   2         1         1
    refused                       0         0         0
    different                     0         0         0
    removed at the source         1         1         0
    damaged at the source: 0
    others at the target: 1
    in conflict: "pr/acme/infra/modules/0/default/": the target keeps a lock of pull request 99 of "acme/infra"
    in conflict: "pr/acme/infra/modules/1/default/": the target keeps the same lock in other bytes
    in conflict: "github.com::acme/infra::1": the target keeps another status
    in conflict: "global/apply/lock": the target keeps another lock
    not everything is on both sides: see above
    "#);
    assert!(!report.is_clean());
    assert_eq!(to.get_lock(&held.project, "default").await.unwrap(), Some(held));
    // Records that were not moved are still at the source.
    assert_eq!(content(&from).await.len(), 4);
}

#[tokio::test]
async fn damaged_records_hide_no_other() {
    let server = RedisServer::start().await;
    let (from, to) = (atlantis(&server).await, adapter());
    fill(&from, 1, 1).await;
    let stranger = String::from_utf8(encode(&numbered(5))).unwrap();
    for (key, text) in [
        ("pr/acme/infra/bad/default/", "{\"token\":\"hunter2\""),
        ("pr/acme/infra/stranger/default/", &stranger),
        ("github.com::acme/infra::77", "[]"),
        ("global/plan/lock", "7"),
        ("{lock:0}:state:a::b::5", "not ours"),
        ("a::b", "not ours"),
    ] {
        assert_eq!(server.command(&["SET", key, text]).await, "OK");
    }
    let report = Migration::removing_source(&from, &to).run().await.unwrap();
    insta::assert_snapshot!(report, @r#"
    records                   locks  statuses  commands
    moved                         1         1         1
    there already                 0         0         0
    in conflict                   0         0         0
    refused                       0         0         0
    different                     0         0         0
    removed at the source         1         1         1
    damaged at the source: 4
    others at the target: 0
    damaged: the record "pr/acme/infra/bad/default/" cannot be read: it ends too early at line 1 column 18
    damaged: the record "pr/acme/infra/stranger/default/" cannot be read: it is the lock of another project than its key
    damaged: the record "github.com::acme/infra::77" cannot be read: a value of another type at line 1 column 2
    damaged: the record "global/plan/lock" cannot be read: a value of another type at line 1 column 1
    not everything is on both sides: see above
    "#);
    // Values that could not be read are still there.
    assert_eq!(server.command(&["DBSIZE"]).await, "6");
}

#[tokio::test]
async fn damaged_record_of_the_target_stays() {
    let documents = MemoryDocuments::new();
    let (from, to) = (adapter(), over(documents.clone()));
    fill(&from, 1, 1).await;
    let key = "github.com::acme/infra::0";
    let _ = documents.replace(key, None, Some(b"{")).await.unwrap();
    let planned = Migration::new(&from, &to).dry_run().run().await.unwrap();
    let report = Migration::new(&from, &to).run().await.unwrap();
    assert_eq!(planned.conflicts, report.conflicts);
    insta::assert_snapshot!(report.conflicts[0], @r#""github.com::acme/infra::0": the target keeps an unreadable record: it ends too early at line 1 column 1"#);
    assert_eq!(documents.read(key).await.unwrap().unwrap().body, b"{");
}

#[tokio::test]
async fn what_is_outside_of_the_limits_is_refused_by_itself() {
    let server = RedisServer::start().await;
    let (from, to) = (atlantis(&server).await, adapter());
    from.try_lock(lock("acme/infra", &"x".repeat(2000), "default", 1)).await.unwrap();
    from.try_lock(lock("acme/infra", "short", "default", 1)).await.unwrap();
    let planned = Migration::new(&from, &to).dry_run().run().await.unwrap();
    let report = Migration::removing_source(&from, &to).run().await.unwrap();
    assert_eq!((report.moved.len(), report.refused.len(), report.removed.len()), (1, 1, 1));
    assert_eq!(planned.refused, report.refused);
    insta::assert_snapshot!(report.refused[0].reason, @"db transaction failed: key has 2039 bytes, at most 1024 are allowed");
}

#[tokio::test]
async fn locks_under_old_keys_get_their_present_ones() {
    let (server, other) = (RedisServer::start().await, RedisServer::start().await);
    let (from, to) = (atlantis(&server).await, atlantis(&other).await);
    let (nested, both, twice) = (numbered(1), numbered(2), numbered(3));
    let old = |lock: &ProjectLock| format!("pr/{}", LegacyKey::of(lock).before_names());
    let mut later = twice.clone();
    later.pull.num = 33;
    for (key, lock) in [
        (old(&nested), &nested),
        (old(&both), &both),
        (format!("pr/{}", LegacyKey::of(&both)), &both),
        (old(&twice), &later),
        (format!("pr/{}", LegacyKey::of(&twice)), &twice),
    ] {
        let text = String::from_utf8(encode(lock)).unwrap();
        assert_eq!(server.command(&["SET", &key, &text]).await, "OK");
    }
    let report = Migration::removing_source(&from, &to).run().await.unwrap();
    insta::assert_snapshot!(report, @r#"
    records                   locks  statuses  commands
    moved                         3         0         0
    there already                 1         0         0
    in conflict                   1         0         0
    refused                       0         0         0
    different                     0         0         0
    removed at the source         4         0         0
    damaged at the source: 0
    others at the target: 0
    in conflict: "pr/acme/infra/modules/3/default/": found under "pr/acme/infra/modules/3/default": the target keeps a lock of pull request 3 of "acme/infra"
    not everything is on both sides: see above
    "#);
    let locks = to.list().await.unwrap().locks;
    assert_eq!(locks.len(), 3);
    assert!([nested, both, twice].iter().all(|lock| locks.contains(lock)));
    assert_eq!(content(&from).await, [(old(&later), encode(&later))]);
}

#[tokio::test]
async fn source_is_emptied_of_what_arrived_only_if_asked() {
    let (from, to) = (adapter(), adapter());
    fill(&from, 20, 5).await;
    let all = content(&from).await;
    let copied = Migration::new(&from, &to).run().await.unwrap();
    assert_eq!((copied.moved.len(), copied.removed.len()), (26, 0));
    assert_eq!(content(&from).await, all);
    let report = Migration::removing_source(&from, &to).run().await.unwrap();
    assert!(report.is_clean());
    assert_eq!((report.same.len(), report.removed.len()), (26, 26));
    assert_eq!((content(&from).await, content(&to).await), (vec![], all));
}

#[tokio::test]
async fn store_that_is_moved_to_itself_keeps_everything() {
    let store = adapter();
    fill(&store, 3, 2).await;
    let all = content(&store).await;
    let report = Migration::removing_source(&store, &store.clone()).run().await.unwrap();
    assert_eq!(report.removed, []);
    insta::assert_snapshot!(report.differences[0], @r#""pr/acme/infra/modules/0/default/": source and target are one store; it was put back"#);
    assert_eq!(content(&store).await, all);
}

#[tokio::test]
async fn progress_is_reported_to_the_end() {
    let (from, to) = (adapter(), adapter());
    fill(&from, 2, 0).await;
    let told = Mutex::new(Vec::new());
    let tell = |progress: Progress| {
        told.lock().unwrap().push((progress.phase, progress.done, progress.total));
    };
    Migration::removing_source(&from, &to).on_progress(tell).run().await.unwrap();
    let phase = |phase| (1..=3).map(move |done| (phase, done, 3));
    let expected: Vec<_> = phase(Phase::Moving).chain(phase(Phase::Removing)).collect();
    assert_eq!(*told.lock().unwrap(), expected);
}

#[tokio::test]
async fn only_the_very_record_is_removed() {
    let server = RedisServer::start().await;
    let stores: [Box<dyn RecordStore>; 2] =
        [Box::new(adapter()), Box::new(atlantis(&server).await)];
    let mut status = PullStatus::default();
    status.pull = pull("acme/infra", 1);
    let key = pull_key(&status.pull).unwrap();
    let first_status = Record::read(&key, &encode(&status)).unwrap();
    status.projects = Some(Vec::new());
    let second_status = Record::read(&key, &encode(&status)).unwrap();
    let mut other = numbered(1);
    other.pull.num = 2;
    let locks = [numbered(1), other].map(|lock| Record::lock(Stored::new(lock)));
    for store in &stores {
        for [first, second] in [&[first_status.clone(), second_status.clone()], &locks] {
            assert_eq!(store.put(first).await.unwrap(), Put::Written);
            assert_eq!(store.put(first).await.unwrap(), Put::Same);
            assert!(matches!(store.put(second).await.unwrap(), Put::Conflict(_)));
            assert!(!store.remove(second).await.unwrap());
            assert_eq!(store.read(second).await.unwrap(), Some(first.encode()));
            assert!(store.remove(first).await.unwrap());
            assert!(!store.remove(first).await.unwrap());
        }
    }
}

/// A trouble at a call that changes something.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// The call never ends, and was not made.
    HangsBefore,
    /// The call never ends, and was made.
    HangsAfter,
    /// The call fails, and was made.
    FailsAfter,
    /// Another process unlocks and locks.
    Changes,
}

/// A store with a trouble at one call.
#[derive(Debug)]
struct Troubled<'a> {
    store: &'a LockAdapter,
    trouble: Trouble,
    left: AtomicUsize,
    /// The store that changes.
    changed: &'a LockAdapter,
}

impl<'a> Troubled<'a> {
    fn new(store: &'a LockAdapter, trouble: Trouble, after: usize) -> Self {
        Self { store, trouble, left: AtomicUsize::new(after), changed: store }
    }

    fn with_changed(self, changed: &'a LockAdapter) -> Self {
        Self { changed, ..self }
    }

    async fn call<T: Send>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        if self.left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return call.await;
        }
        match self.trouble {
            Trouble::HangsBefore => std::future::pending().await,
            Trouble::HangsAfter => {
                call.await?;
                std::future::pending().await
            }
            Trouble::FailsAfter => {
                call.await?;
                Err(LegacyError::store(true, "the connection was cut"))
            }
            Trouble::Changes => {
                for number in 0..2 {
                    let lock = numbered(number);
                    self.changed.unlock(&lock.project, "default").await?;
                }
                let mut other = numbered(1);
                other.pull.num = 99;
                self.changed.try_lock(other).await?;
                self.changed.try_lock(numbered(9)).await?;
                call.await
            }
        }
    }
}

#[async_trait]
impl Source for Troubled<'_> {
    async fn records(&self) -> Result<Records> {
        self.store.records().await
    }
}

#[async_trait]
impl RecordStore for Troubled<'_> {
    async fn read(&self, record: &Record) -> Result<Option<Vec<u8>>> {
        RecordStore::read(self.store, record).await
    }

    async fn put(&self, record: &Record) -> Result<Put> {
        self.call(self.store.put(record)).await
    }

    async fn remove(&self, record: &Record) -> Result<bool> {
        self.call(RecordStore::remove(self.store, record)).await
    }
}

#[tokio::test(start_paused = true)]
async fn migration_that_is_interrupted_goes_on() {
    for trouble in [Trouble::HangsBefore, Trouble::HangsAfter, Trouble::FailsAfter] {
        for at_source in [false, true] {
            for after in [1, 2, 13, 26] {
                let (from, to) = (adapter(), adapter());
                fill(&from, 20, 5).await;
                let all = content(&from).await;
                let never = usize::MAX / 2;
                let (source, target) = if at_source { (after, never) } else { (never, after) };
                let source = Troubled::new(&from, trouble, source);
                let target = Troubled::new(&to, trouble, target);
                let migration = Migration::removing_source(&source, &target).run();
                let limit = std::time::Duration::from_secs(1);
                let ended = tokio::time::timeout(limit, migration).await;
                assert!(!matches!(ended, Ok(Ok(_))), "{trouble:?} did nothing");
                // Every record is on one of the sides.
                let mut both = content(&from).await;
                both.extend(content(&to).await);
                both.sort();
                both.dedup();
                assert_eq!(both, all, "{trouble:?}");
                let report = Migration::removing_source(&from, &to).run().await.unwrap();
                assert!(report.is_clean(), "{trouble:?}: {report}");
                assert_eq!((content(&from).await, content(&to).await), (vec![], all));
            }
        }
    }
}

#[tokio::test]
async fn changes_of_the_source_meanwhile_are_reported() {
    let (from, to) = (adapter(), adapter());
    fill(&from, 3, 0).await;
    // While the target is written, the source changes.
    let target = Troubled::new(&to, Trouble::Changes, 4).with_changed(&from);
    let migration = Migration::new(&from, &target);
    let report = migration.run().await.unwrap();
    insta::assert_snapshot!(report, @r#"
    records                   locks  statuses  commands
    moved                         3         0         1
    there already                 0         0         0
    in conflict                   0         0         0
    refused                       0         0         0
    different                     3         0         0
    removed at the source         0         0         0
    damaged at the source: 0
    others at the target: 0
    different: "pr/acme/infra/modules/0/default/": it disappeared from the source meanwhile
    different: "pr/acme/infra/modules/1/default/": it changed meanwhile, at the source or at the target
    different: "pr/acme/infra/modules/9/default/": it appeared at the source meanwhile
    not everything is on both sides: see above
    "#);
}

#[tokio::test]
async fn changes_of_the_target_meanwhile_are_reported() {
    let (from, to) = (adapter(), adapter());
    fill(&from, 3, 0).await;
    let target = Troubled::new(&to, Trouble::Changes, 4);
    let report = Migration::removing_source(&from, &target).run().await.unwrap();
    insta::assert_snapshot!(report, @r#"
    records                   locks  statuses  commands
    moved                         3         0         1
    there already                 0         0         0
    in conflict                   0         0         0
    refused                       0         0         0
    different                     2         0         0
    removed at the source         1         0         1
    damaged at the source: 0
    others at the target: 1
    different: "pr/acme/infra/modules/0/default/": it disappeared from the target meanwhile
    different: "pr/acme/infra/modules/1/default/": it changed meanwhile, at the source or at the target
    not everything is on both sides: see above
    "#);
    // Records that the target lacks are not removed.
    assert_eq!(content(&from).await.len(), 2);
}

#[tokio::test]
async fn changes_before_the_removal_are_kept() {
    let (from, to) = (adapter(), adapter());
    fill(&from, 3, 0).await;
    let source = Troubled::new(&from, Trouble::Changes, 1);
    let report = Migration::removing_source(&source, &to).run().await.unwrap();
    insta::assert_snapshot!(report, @r#"
    records                   locks  statuses  commands
    moved                         3         0         1
    there already                 0         0         0
    in conflict                   0         0         0
    refused                       0         0         0
    different                     2         0         0
    removed at the source         1         0         1
    damaged at the source: 0
    others at the target: 0
    different: "pr/acme/infra/modules/0/default/": it changed before it could be removed
    different: "pr/acme/infra/modules/1/default/": it changed before it could be removed
    not everything is on both sides: see above
    "#);
    let locks = from.list().await.unwrap().locks;
    assert!(locks.iter().any(|lock| lock.pull.num == 99));
}

#[test]
fn record_shows_no_secret() {
    let mut lock = numbered(1);
    lock.pull.body = Some("hunter2".to_owned());
    insta::assert_debug_snapshot!(Record::lock(Stored::new(lock)), @r#"
    Record {
        kind: Lock,
        key: "pr/acme/infra/modules/1/default/",
        place: "pr/acme/infra/modules/1/default/",
        ..
    }
    "#);
}
