//! A mirror takes over when a real Redis is lost, without two holders at any time.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use lock_atlantis::fallback::{
    Fallback, FallbackConfig, FallbackStore, OnLoss, OpenError, ServingMode,
};
use lock_atlantis::migrate::{Records, Source};
use lock_atlantis::{AtlantisRedis, ServerConfig};
use lock_compat::conformance::{lock, pull};
use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::{
    CommandName, LegacyKey, Outcome, ProjectLock, ProjectPlanStatus, ProjectResult, Timestamp,
    encode,
};
use lock_compat::{LegacyBackend, LegacyError, LockAdapter, Result};
use lock_core::{LockManager, OwnerId};
use lock_memory::MemoryBackend;
use lock_testkit_redis::server::{RedisServer, ServerConfig as Setup};
use tokio::task::JoinSet;

mod staged;
use staged::{Stage, Staged};

fn mirror() -> Arc<LockAdapter> {
    let owner = OwnerId::parse("atlantis").unwrap();
    let manager = LockManager::new(MemoryBackend::new(), owner);
    Arc::new(LockAdapter::new(manager, MemoryDocuments::new()))
}

async fn server() -> Arc<RedisServer> {
    Arc::new(RedisServer::start_with(Setup::new().durable()).await)
}

async fn primary(server: &RedisServer) -> AtlantisRedis {
    let config = ServerConfig::parse(&server.url()).unwrap();
    AtlantisRedis::connect(config.with_timeout(Duration::from_secs(2))).await.unwrap()
}

/// The first failure loses the primary, and only an explicit reconciliation brings it back.
fn at_once(on_loss: OnLoss) -> FallbackConfig {
    let day = Duration::from_secs(24 * 60 * 60);
    FallbackConfig::new().with_on_loss(on_loss).with_failures(1, day).with_healthy_for(day)
}

async fn open(server: &RedisServer, mirror: &Arc<LockAdapter>, on_loss: OnLoss) -> Fallback {
    let primary = Arc::new(primary(server).await);
    let mirror = Arc::clone(mirror) as Arc<dyn FallbackStore>;
    Fallback::open(primary, mirror, at_once(on_loss)).await.unwrap()
}

fn of(num: i64) -> ProjectLock {
    lock("owner/repo", "path", "default", num)
}

fn plan(dir: &str) -> ProjectResult {
    ProjectResult::new("default", dir, CommandName::Plan, Outcome::Success)
}

/// Both stores have the same to the byte.
async fn assert_same(server: &RedisServer, mirror: &LockAdapter) {
    let sorted = |records: Records| {
        assert!(records.damaged.is_empty(), "{:?}", records.damaged);
        let records = records.records.into_iter();
        records.map(|it| (it.key().to_owned(), it.encode())).collect::<BTreeMap<_, _>>()
    };
    let primary = primary(server).await;
    assert_eq!(sorted(primary.records().await.unwrap()), sorted(mirror.records().await.unwrap()));
}

#[tokio::test]
async fn every_change_is_written_through() {
    let (server, mirror) = (server().await, mirror());
    let store = open(&server, &mirror, OnLoss::default()).await;
    let time = Timestamp::from_unix(7).unwrap();
    assert!(store.try_lock(of(1)).await.unwrap().0);
    assert_eq!(store.try_lock(of(2)).await.unwrap(), (false, of(1)));
    store.lock_command(CommandName::Apply, time).await.unwrap();
    store.update_pull_with_results(&of(1).pull, &[plan("a"), plan("b")]).await.unwrap();
    let discarded = ProjectPlanStatus::PlanDiscarded;
    store.update_project_status(&of(1).pull, "default", "b", discarded).await.unwrap();
    assert_same(&server, &mirror).await;
    assert_eq!(mirror.list().await.unwrap().locks, [of(1)]);
    assert_eq!(store.unlock(&of(1).project, "default").await.unwrap(), Some(of(1)));
    store.unlock_command(CommandName::Apply).await.unwrap();
    store.delete_pull_status(&of(1).pull).await.unwrap();
    assert_same(&server, &mirror).await;
    assert!(mirror.records().await.unwrap().records.is_empty());
}

#[tokio::test]
async fn without_its_primary_it_fails_closed() {
    let (server, mirror) = (server().await, mirror());
    let store = open(&server, &mirror, OnLoss::default()).await;
    store.try_lock(of(1)).await.unwrap();
    server.kill().await;
    let other = lock("owner/repo", "other", "default", 2);
    for error in [
        store.try_lock(other.clone()).await.unwrap_err(),
        store.unlock(&of(1).project, "default").await.unwrap_err(),
        store.get_lock(&of(1).project, "default").await.unwrap_err(),
        store.list().await.unwrap_err(),
        store.get_pull_status(&pull("owner/repo", 1)).await.unwrap_err(),
    ] {
        assert!(matches!(error, LegacyError::Store { .. }), "{error:?}");
    }
    assert_eq!(store.mode(), ServingMode::WriteThrough);
    server.restart().await;
    assert_eq!(store.try_lock(of(2)).await.unwrap(), (false, of(1)));
    // The first attempt had no answer, and has happened. Later ones were not begun.
    assert_eq!(store.try_lock(other.clone()).await.unwrap(), (false, other));
    store.reconcile().await.unwrap();
    assert_same(&server, &mirror).await;
}

#[tokio::test]
async fn mirror_serves_alone_and_returns_what_it_did() {
    let (server, mirror) = (server().await, mirror());
    let store = open(&server, &mirror, OnLoss::ServeMirror).await;
    let kept = lock("owner/repo", "kept", "default", 3);
    for lock in [of(1), kept.clone()] {
        assert!(store.try_lock(lock).await.unwrap().0);
    }
    store.update_pull_with_results(&of(1).pull, &[plan("before")]).await.unwrap();
    server.kill().await;
    // The holder still holds.
    assert_eq!(store.try_lock(of(2)).await.unwrap(), (false, of(1)));
    assert_eq!(store.unlock(&of(1).project, "default").await.unwrap(), Some(of(1)));
    assert_eq!(store.mode(), ServingMode::MirrorAlone);
    assert!(store.try_lock(of(2)).await.unwrap().0);
    assert_eq!(store.list().await.unwrap().locks.len(), 2);
    store.update_pull_with_results(&of(1).pull, &[plan("meanwhile")]).await.unwrap();
    store.lock_command(CommandName::Apply, Timestamp::from_unix(7).unwrap()).await.unwrap();
    assert!(store.reconcile().await.is_err(), "it is not back");
    assert_eq!(store.mode(), ServingMode::MirrorAlone);
    server.restart().await;
    // It is not read before it was compared.
    assert_eq!(store.get_lock(&of(2).project, "default").await.unwrap(), Some(of(2)));
    let report = store.reconcile().await.unwrap();
    insta::assert_snapshot!(report, @"3 returned to the primary, 0 mirrored, 1 ended, 0 in conflict, 0 damaged");
    assert_eq!(store.mode(), ServingMode::WriteThrough);
    assert_same(&server, &mirror).await;
    let primary = primary(&server).await;
    assert_eq!(primary.get_lock(&of(2).project, "default").await.unwrap(), Some(of(2)));
    assert_eq!(primary.get_lock(&kept.project, "default").await.unwrap(), Some(kept));
    let status = primary.get_pull_status(&of(1).pull).await.unwrap().unwrap();
    assert_eq!(status.projects.unwrap().len(), 2);
}

#[tokio::test]
async fn other_locks_of_one_project_are_a_conflict() {
    let (server, mirror) = (server().await, mirror());
    let store = open(&server, &mirror, OnLoss::ServeMirror).await;
    server.kill().await;
    assert!(store.try_lock(of(1)).await.unwrap().0);
    server.restart().await;
    // A process that does not know the mirror.
    let primary = primary(&server).await;
    assert!(primary.try_lock(of(2)).await.unwrap().0);
    let report = store.reconcile().await.unwrap();
    assert_eq!(report.conflicts, ["pr/owner/repo/path/default/"]);
    assert_eq!(store.mode(), ServingMode::MirrorAlone);
    assert_eq!(store.get_lock(&of(1).project, "default").await.unwrap(), Some(of(1)));
    let other = Arc::clone(&mirror) as Arc<dyn FallbackStore>;
    let opened = Fallback::open(Arc::new(primary.clone()), other, FallbackConfig::new()).await;
    let error = opened.unwrap_err();
    assert!(matches!(error, OpenError::NotReconciled(_)), "{error:?}");
    // An operator settles it.
    primary.unlock(&of(2).project, "default").await.unwrap();
    assert!(store.reconcile().await.unwrap().is_clean());
    assert_same(&server, &mirror).await;
}

#[tokio::test]
async fn stores_are_made_the_same_before_they_serve() {
    let (server, mirror) = (server().await, mirror());
    let mirrored = lock("owner/repo", "mirrored", "default", 2);
    primary(&server).await.try_lock(of(1)).await.unwrap();
    mirror.try_lock(mirrored).await.unwrap();
    let store = open(&server, &mirror, OnLoss::default()).await;
    assert_eq!(store.list().await.unwrap().locks.len(), 2);
    assert_same(&server, &mirror).await;
}

#[tokio::test]
async fn what_was_not_compared_does_not_take_over() {
    let (server, mirror) = (server().await, mirror());
    let primary = Arc::new(primary(&server).await);
    server.kill().await;
    let opened = Fallback::open(primary, mirror, at_once(OnLoss::ServeMirror)).await;
    assert!(matches!(opened.unwrap_err(), OpenError::Store(LegacyError::Store { .. })));
}

#[tokio::test]
async fn lock_that_was_made_without_the_mirror_counts() {
    let (server, mirror) = (server().await, mirror());
    let store = open(&server, &mirror, OnLoss::default()).await;
    primary(&server).await.try_lock(of(1)).await.unwrap();
    assert_eq!(store.try_lock(of(2)).await.unwrap(), (false, of(1)));
    assert_same(&server, &mirror).await;
}

/// An Atlantis before 0.40 that uses the primary writes under other keys.
#[tokio::test]
async fn lock_under_an_old_key_of_the_primary_is_listed() {
    let (server, mirror) = (server().await, mirror());
    let store = open(&server, &mirror, OnLoss::default()).await;
    let key = format!("pr/{}", LegacyKey::of(&of(1)).before_names());
    let value = String::from_utf8(encode(&of(1))).unwrap();
    assert_eq!(server.command(&["SET", &key, &value]).await, "OK");
    assert_eq!(store.list().await.unwrap().locks, [of(1)]);
}

/// Values of the primary that cannot be read or replaced concern their keys alone: nothing of the
/// call stays in the mirror, and the primary is not lost.
#[tokio::test]
async fn damaged_value_of_the_primary_leaves_nothing_in_the_mirror() {
    let (server, mirror) = (server().await, mirror());
    let store = open(&server, &mirror, OnLoss::ServeMirror).await;
    let key = "pr/owner/repo/path/default/";
    for command in [&["SET", key, "x"][..], &["DEL", key], &["HSET", key, "a", "b"]] {
        server.command(command).await;
        if command[0] == "DEL" {
            continue;
        }
        for num in [1, 1, 2] {
            let error = store.try_lock(of(num)).await.unwrap_err();
            assert!(matches!(error, LegacyError::Damaged(_)), "{command:?} {num}: {error:?}");
            assert!(mirror.records().await.unwrap().records.is_empty(), "{command:?} {num}");
        }
        assert_eq!(store.mode(), ServingMode::WriteThrough);
    }
    server.command(&["DEL", key]).await;
    assert!(store.try_lock(of(2)).await.unwrap().0);
    // A lock whose value was replaced by something else ends in the mirror, or not at all.
    server.command(&["DEL", key]).await;
    server.command(&["HSET", key, "a", "b"]).await;
    let error = store.unlock(&of(2).project, "default").await.unwrap_err();
    assert!(matches!(error, LegacyError::Damaged(_)), "{error:?}");
    assert_eq!(store.mode(), ServingMode::WriteThrough);
    assert_eq!(mirror.list().await.unwrap().locks, [of(2)]);
}

/// The server is killed before or after the call of this number.
struct Mortal {
    server: Arc<RedisServer>,
    /// The server lives until it is set.
    dies_at: Arc<AtomicUsize>,
    dies_before: bool,
}

#[async_trait]
impl Stage for Mortal {
    async fn before(&self, call: usize) -> Result<()> {
        if call == self.dies_at.load(Ordering::SeqCst) && self.dies_before {
            self.server.kill().await;
        }
        Ok(())
    }

    async fn after(&self, call: usize) -> Result<()> {
        if call == self.dies_at.load(Ordering::SeqCst) && !self.dies_before {
            self.server.kill().await;
            // It happened, and the answer is lost.
            return Err(LegacyError::store(true, "no answer"));
        }
        Ok(())
    }
}

/// The pull requests that believe they hold the project.
#[derive(Default)]
struct Holders(Mutex<Vec<i64>>);

impl Holders {
    fn begin(&self, num: i64) {
        let mut holders = self.0.lock().unwrap();
        holders.push(num);
        assert!(holders.len() == 1, "two holders: {holders:?}");
    }

    fn end(&self, num: i64) -> bool {
        let mut holders = self.0.lock().unwrap();
        let before = holders.len();
        holders.retain(|holder| *holder != num);
        holders.len() < before
    }
}

/// Two pull requests take turns, as far as the store allows.
async fn take_turns(store: &Fallback, holders: &Holders) {
    for num in [1, 2] {
        if let Ok((true, _)) = store.try_lock(of(num)).await {
            holders.begin(num);
        }
        let _ = store.get_lock(&of(num).project, "default").await;
        let _ = store.lock_command(CommandName::Apply, Timestamp::from_unix(num).unwrap()).await;
        let _ = store.unlock_command(CommandName::Apply).await;
        let other = 3 - num;
        if let Ok((true, _)) = store.try_lock(of(other)).await {
            holders.begin(other);
        }
        // After the unlock it no longer holds, whatever the answer.
        holders.end(num);
        let _ = store.unlock_if_owned_by_pull(&of(num).project, "default", num).await;
    }
}

/// Kills the server around each of the primary's calls in turn.
async fn killed_at_every_step(on_loss: OnLoss) {
    for dies_before in [true, false] {
        for step in 0.. {
            let (server, mirror) = (server().await, mirror());
            let store = primary(&server).await;
            let death = Arc::new(AtomicUsize::new(usize::MAX));
            let (server, dies_at) = (Arc::clone(&server), Arc::clone(&death));
            let mortal = Mortal { server: Arc::clone(&server), dies_at, dies_before };
            let mortal = Arc::new(Staged::new(Arc::new(store), mortal));
            let primary = Arc::clone(&mortal) as Arc<dyn FallbackStore>;
            let other = Arc::clone(&mirror) as Arc<dyn FallbackStore>;
            let store = Fallback::open(primary, other, at_once(on_loss)).await.unwrap();
            let holders = Holders::default();
            let dies_at = mortal.calls() + step;
            death.store(dies_at, Ordering::SeqCst);
            take_turns(&store, &holders).await;
            if mortal.calls() <= dies_at {
                // There is no such call any more.
                assert!(step > 15, "{step}");
                break;
            }
            server.restart().await;
            let report = match store.reconcile().await {
                Ok(report) => report,
                // The connection from before is the first to notice.
                Err(_) => store.reconcile().await.unwrap(),
            };
            assert!(report.is_clean(), "{dies_before} {step}: {report}");
            assert_same(&server, &mirror).await;
            take_turns(&store, &holders).await;
            // Nothing is stuck: remaining locks can be unlocked, and then locked.
            holders.0.lock().unwrap().clear();
            store.unlock(&of(1).project, "default").await.unwrap();
            assert!(store.try_lock(of(3)).await.unwrap().0);
            assert_same(&server, &mirror).await;
        }
    }
}

#[tokio::test]
async fn closed_store_killed_at_every_step_has_one_holder() {
    killed_at_every_step(OnLoss::FailClosed).await;
}

#[tokio::test]
async fn serving_mirror_killed_at_every_step_has_one_holder() {
    killed_at_every_step(OnLoss::ServeMirror).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_see_the_loss_differently_have_one_holder() {
    let (server, mirror) = (server().await, mirror());
    let (holders, is_over) = (Arc::new(Holders::default()), Arc::new(AtomicBool::new(false)));
    let (turns, attempts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut processes = JoinSet::new();
    for num in 0..4 {
        // Of four processes, two serve from the mirror when they lose the primary.
        let on_loss = if num % 2 == 0 { OnLoss::ServeMirror } else { OnLoss::FailClosed };
        let store = open(&server, &mirror, on_loss).await;
        let (holders, is_over) = (Arc::clone(&holders), Arc::clone(&is_over));
        let (turns, attempts) = (Arc::clone(&turns), Arc::clone(&attempts));
        processes.spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                if let Ok((true, _)) = store.try_lock(of(num)).await {
                    holders.begin(num);
                    tokio::task::yield_now().await;
                    turns.fetch_add(1, Ordering::SeqCst);
                    holders.end(num);
                }
                attempts.fetch_add(1, Ordering::SeqCst);
                // Also after an attempt without an answer.
                let _ = store.unlock_if_owned_by_pull(&of(num).project, "default", num).await;
                if store.mode() == ServingMode::MirrorAlone {
                    let _ = store.reconcile().await;
                }
            }
        });
    }
    let until = async |counter: &AtomicUsize, more: usize| {
        let before = counter.load(Ordering::SeqCst);
        while counter.load(Ordering::SeqCst) < before + more {
            tokio::task::yield_now().await;
        }
    };
    for _ in 0..5 {
        until(&turns, 20).await;
        server.kill().await;
        // A process that fails closed may hold now, and blocks the others until it is back.
        until(&attempts, 50).await;
        server.restart().await;
    }
    is_over.store(true, Ordering::SeqCst);
    processes.join_all().await;
}

#[tokio::test]
async fn command_that_was_locked_without_the_mirror_counts() {
    let (server, mirror) = (server().await, mirror());
    let store = open(&server, &mirror, OnLoss::default()).await;
    let time = |seconds| Timestamp::from_unix(seconds).unwrap();
    primary(&server).await.lock_command(CommandName::Apply, time(1)).await.unwrap();
    let error = store.lock_command(CommandName::Apply, time(2)).await.unwrap_err();
    assert!(matches!(error, LegacyError::CommandLocked), "{error:?}");
    assert_same(&server, &mirror).await;
}

#[tokio::test]
async fn comparison_that_is_dropped_forgets_nothing() {
    let (server, mirror) = (server().await, mirror());
    let store = open(&server, &mirror, OnLoss::ServeMirror).await;
    for num in 0..20 {
        let lock = lock("owner/repo", &format!("dir-{num}"), "default", num);
        store.try_lock(lock).await.unwrap();
    }
    server.kill().await;
    assert_eq!(store.unlock_by_pull("owner/repo", 0).await.unwrap().locks.len(), 1);
    for num in 1..20 {
        store.unlock_by_pull("owner/repo", num).await.unwrap();
    }
    server.restart().await;
    // It is dropped at one await after the other, until it completes.
    for polls in 1.. {
        let mut comparison = pin!(store.reconcile());
        let mut left = polls;
        let report = poll_fn(|context| {
            left -= 1;
            match comparison.as_mut().poll(context) {
                Poll::Pending if left > 0 => Poll::Pending,
                Poll::Pending => Poll::Ready(None),
                Poll::Ready(report) => Poll::Ready(Some(report)),
            }
        });
        // The connection from before may be broken.
        if matches!(report.await, Some(Ok(_))) {
            break;
        }
    }
    assert_same(&server, &mirror).await;
    assert!(mirror.records().await.unwrap().records.is_empty());
}
