//! A mirror takes over when a real Redis is lost, and nobody ever holds what another holds.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use lock_compat::conformance::{lock, pull};
use lock_compat::documents::MemoryDocuments;
use lock_compat::fallback::{Fallback, FallbackStore, Mode, OnLoss};
use lock_compat::legacy::{
    CommandLock, CommandName, Outcome, Project, ProjectLock, ProjectPlanStatus, ProjectResult,
    PullRequest, PullStatus, Timestamp,
};
use lock_compat::migrate::{Archive, Put, Record, Records, Source};
use lock_compat::{
    AtlantisRedis, LegacyBackend, LegacyError, Listing, LockAdapter, Result, ServerConfig,
};
use lock_core::{LockManager, OwnerId};
use lock_memory::MemoryBackend;
use lock_testkit::server::{RedisServer, ServerConfig as Setup};
use tokio::task::JoinSet;

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
    AtlantisRedis::connect(config.with_timeout(Duration::from_millis(300))).await.unwrap()
}

async fn open(server: &RedisServer, mirror: &Arc<LockAdapter>, on_loss: OnLoss) -> Fallback {
    let primary = Arc::new(primary(server).await);
    Fallback::open(primary, Arc::clone(mirror) as Arc<dyn FallbackStore>, on_loss).await.unwrap()
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
    assert_eq!(store.mode(), Mode::WriteThrough);
    server.restart().await;
    assert_eq!(store.try_lock(of(2)).await.unwrap(), (false, of(1)));
    assert!(store.try_lock(other).await.unwrap().0);
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
    // Who held still holds.
    assert_eq!(store.try_lock(of(2)).await.unwrap(), (false, of(1)));
    assert_eq!(store.unlock(&of(1).project, "default").await.unwrap(), Some(of(1)));
    assert_eq!(store.mode(), Mode::MirrorAlone);
    assert!(store.try_lock(of(2)).await.unwrap().0);
    assert_eq!(store.list().await.unwrap().locks.len(), 2);
    store.update_pull_with_results(&of(1).pull, &[plan("meanwhile")]).await.unwrap();
    store.lock_command(CommandName::Apply, Timestamp::from_unix(7).unwrap()).await.unwrap();
    assert!(store.reconcile().await.is_err(), "it is not back");
    assert_eq!(store.mode(), Mode::MirrorAlone);
    server.restart().await;
    // It is not read before it was compared.
    assert_eq!(store.get_lock(&of(2).project, "default").await.unwrap(), Some(of(2)));
    let report = store.reconcile().await.unwrap();
    insta::assert_snapshot!(report, @"3 returned to the primary, 0 mirrored, 2 ended, 0 in conflict, 0 damaged");
    assert_eq!(store.mode(), Mode::WriteThrough);
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
    // Somebody who knows nothing of the mirror.
    let primary = primary(&server).await;
    assert!(primary.try_lock(of(2)).await.unwrap().0);
    let report = store.reconcile().await.unwrap();
    assert_eq!(report.conflicts, ["pr/owner/repo/path/default/"]);
    assert_eq!(store.mode(), Mode::MirrorAlone);
    assert_eq!(store.get_lock(&of(1).project, "default").await.unwrap(), Some(of(1)));
    let other = Arc::clone(&mirror) as Arc<dyn FallbackStore>;
    let opened = Fallback::open(Arc::new(primary.clone()), other, OnLoss::FailClosed).await;
    let error = opened.unwrap_err();
    assert!(matches!(error, LegacyError::NotReconciled(_)), "{error:?}");
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
    let opened = Fallback::open(primary, mirror, OnLoss::ServeMirror).await;
    assert!(matches!(opened.unwrap_err(), LegacyError::Store { .. }));
}

#[tokio::test]
async fn lock_that_was_made_without_the_mirror_counts() {
    let (server, mirror) = (server().await, mirror());
    let store = open(&server, &mirror, OnLoss::default()).await;
    primary(&server).await.try_lock(of(1)).await.unwrap();
    assert_eq!(store.try_lock(of(2)).await.unwrap(), (false, of(1)));
    assert_same(&server, &mirror).await;
}

/// A primary whose server is killed before or after its call of this number.
struct Mortal {
    store: AtlantisRedis,
    server: Arc<RedisServer>,
    calls: AtomicUsize,
    dies_at: usize,
    dies_before: bool,
}

impl Mortal {
    async fn around<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let is_due = self.calls.fetch_add(1, Ordering::SeqCst) == self.dies_at;
        if is_due && self.dies_before {
            self.server.kill().await;
        }
        let answer = call.await;
        if is_due && !self.dies_before {
            self.server.kill().await;
            // It happened, and the answer is lost.
            return Err(LegacyError::store(true, "no answer"));
        }
        answer
    }
}

impl fmt::Debug for Mortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mortal").field("store", &self.store).finish_non_exhaustive()
    }
}

#[async_trait]
impl LegacyBackend for Mortal {
    async fn try_lock(&self, lock: ProjectLock) -> Result<(bool, ProjectLock)> {
        self.around(self.store.try_lock(lock)).await
    }
    async fn unlock(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>> {
        self.around(self.store.unlock(project, workspace)).await
    }
    async fn unlock_if_owned_by_pull(
        &self,
        project: &Project,
        workspace: &str,
        pull_num: i64,
    ) -> Result<Option<ProjectLock>> {
        self.around(self.store.unlock_if_owned_by_pull(project, workspace, pull_num)).await
    }
    async fn list(&self) -> Result<Listing> {
        self.around(self.store.list()).await
    }
    async fn get_lock(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>> {
        self.around(self.store.get_lock(project, workspace)).await
    }
    async fn unlock_by_pull(&self, repo: &str, pull_num: i64) -> Result<Listing> {
        self.around(self.store.unlock_by_pull(repo, pull_num)).await
    }
    async fn update_project_status(
        &self,
        pull: &PullRequest,
        workspace: &str,
        dir: &str,
        status: ProjectPlanStatus,
    ) -> Result<()> {
        self.around(self.store.update_project_status(pull, workspace, dir, status)).await
    }
    async fn get_pull_status(&self, pull: &PullRequest) -> Result<Option<PullStatus>> {
        self.around(self.store.get_pull_status(pull)).await
    }
    async fn delete_pull_status(&self, pull: &PullRequest) -> Result<()> {
        self.around(self.store.delete_pull_status(pull)).await
    }
    async fn update_pull_with_results(
        &self,
        pull: &PullRequest,
        results: &[ProjectResult],
    ) -> Result<PullStatus> {
        self.around(self.store.update_pull_with_results(pull, results)).await
    }
    async fn lock_command(&self, name: CommandName, time: Timestamp) -> Result<CommandLock> {
        self.around(self.store.lock_command(name, time)).await
    }
    async fn unlock_command(&self, name: CommandName) -> Result<()> {
        self.around(self.store.unlock_command(name)).await
    }
    async fn check_command_lock(&self, name: CommandName) -> Result<Option<CommandLock>> {
        self.around(self.store.check_command_lock(name)).await
    }
    async fn ping(&self) -> Result<()> {
        self.around(self.store.ping()).await
    }
    async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}

#[async_trait]
impl Source for Mortal {
    async fn records(&self) -> Result<Records> {
        self.store.records().await
    }
}

#[async_trait]
impl Archive for Mortal {
    async fn read(&self, record: &Record) -> Result<Option<Vec<u8>>> {
        self.around(Archive::read(&self.store, record)).await
    }
    async fn put(&self, record: &Record) -> Result<Put> {
        self.around(self.store.put(record)).await
    }
    async fn remove(&self, record: &Record) -> Result<bool> {
        self.around(self.store.remove(record)).await
    }
}

/// Who believes to hold the project.
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

/// Two pull requests take turns, as far as the store lets them.
async fn take_turns(store: &Fallback, holders: &Holders) {
    for num in [1, 2, 1, 2] {
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
        // Whoever unlocks does not hold from then on, whatever the answer.
        holders.end(num);
        let _ = store.unlock_if_owned_by_pull(&of(num).project, "default", num).await;
    }
}

/// Kills the server around each of the primary's calls in turn.
async fn killed_at_every_step(on_loss: OnLoss) {
    for dies_before in [true, false] {
        for dies_at in 0.. {
            let (server, mirror) = (server().await, mirror());
            let store = primary(&server).await;
            let calls = AtomicUsize::new(0);
            let server = Arc::clone(&server);
            let mortal = Arc::new(Mortal {
                store,
                server: Arc::clone(&server),
                calls,
                dies_at,
                dies_before,
            });
            let primary = Arc::clone(&mortal) as Arc<dyn FallbackStore>;
            let other = Arc::clone(&mirror) as Arc<dyn FallbackStore>;
            let store = Fallback::open(primary, other, on_loss).await.unwrap();
            let holders = Holders::default();
            take_turns(&store, &holders).await;
            if mortal.calls.load(Ordering::SeqCst) <= dies_at {
                // There is no such call any more.
                assert!(dies_at > 20, "{dies_at}");
                break;
            }
            server.restart().await;
            let report = match store.reconcile().await {
                Ok(report) => report,
                // The connection from before is the first to notice.
                Err(_) => store.reconcile().await.unwrap(),
            };
            assert!(report.is_clean(), "{dies_before} {dies_at}: {report}");
            assert_same(&server, &mirror).await;
            take_turns(&store, &holders).await;
            // Nothing is stuck: what is left can be unlocked, and then locked.
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
                if store.mode() == Mode::MirrorAlone {
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
        // Whoever fails closed may hold now, and keeps the others waiting until it is back.
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
    // It is dropped at one await after the other, until it is through.
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
