//! Cases of the queues of a [`LockAdapter`], on every lock store: the faults of the queues that were
//! to replace Atlantis' locking among them.

use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Acquisition, KeepAlive, LockManager, LockStore, OwnerId, Priority, RequestId,
    Ttl,
};
use tokio::task::JoinHandle;

use super::behind::put_lease;
use super::lock;
use crate::documents::DocumentStore;
use crate::legacy::{LegacyKey, Project, ProjectLock};
use crate::{AcquireOptions, LegacyBackend, LegacyError, LockAdapter, ProjectName, Queues, Result};

/// A lock store, and what is kept beside it.
#[async_trait]
pub trait QueueFixture: Send + Sync + Sized + 'static {
    /// The documents beside the locks.
    type Documents: DocumentStore;

    /// Starts an empty store.
    async fn start() -> Self;

    /// The store, the same at every call.
    fn store(&self) -> Arc<dyn LockStore>;

    /// The documents, the same at every call.
    fn documents(&self) -> Self::Documents;

    /// An adapter as a process of its own has it.
    fn process(&self) -> LockAdapter {
        let owner = OwnerId::parse("atlantis").expect("an owner");
        LockAdapter::new(LockManager::new(self.store(), owner), self.documents())
    }
}

/// Runs one case on a store of its own, in a runtime of its own.
pub fn run<F: QueueFixture, C: Future<Output = ()>>(case: impl FnOnce(F) -> C) {
    super::run_in_a_runtime(async { case(F::start().await).await });
}

/// Makes a test of each case, on the stores of a [`QueueFixture`].
#[macro_export]
macro_rules! queue_conformance {
    ($fixture:ty) => {
        $crate::queue_conformance! { ($fixture)
            store_without_locks_has_no_queues,
            project_without_a_queue_has_none,
            queue_shows_whoever_joined_it,
            position_is_the_place_and_not_the_length,
            pulls_of_one_moment_stand_in_the_order_of_their_arrival,
            names_numbers_and_lists_outlive_the_queue,
            queues_are_the_same_in_every_process,
            queues_of_a_repository_are_its_own,
            queues_of_a_pull_show_its_places,
            project_at_two_hosts_has_two_queues,
            cancelled_pull_is_in_no_queue,
            next_pull_gets_the_lock_with_its_own_user,
            statistics_count_what_there_is,
            grant_that_nobody_claimed_is_counted_apart,
            lock_that_cannot_be_read_hides_no_queue,
            queues_are_read_while_projects_come_and_go,
            name_without_a_key_is_refused_with_its_limit,
        }
    };
    (($fixture:ty) $($case:ident,)*) => {
        $(#[test]
        fn $case() {
            $crate::conformance::queues::run::<$fixture, _>($crate::conformance::queues::$case);
        })*
    };
}

fn of(num: i64) -> ProjectLock {
    lock("owner/repo", "path", "default", num)
}

/// Starts to wait, and returns when the request stands in the queue.
pub async fn joins(
    adapter: &LockAdapter,
    lock: ProjectLock,
    options: AcquireOptions,
) -> JoinHandle<Result<ProjectLock>> {
    let (name, pull) = (LegacyKey::of(&lock), lock.pull.clone());
    let waiting = adapter.clone();
    let task = tokio::spawn(async move { waiting.acquire(lock, &options).await });
    let is_there = async || {
        let found = adapter.queues_of_pull(&pull.base_repo.full_name, pull.num).await.unwrap();
        found.queues.iter().any(|queue| queue.name.to_string() == name.to_string())
    };
    while !is_there().await {
        tokio::task::yield_now().await;
    }
    task
}

async fn queues_up(adapter: &LockAdapter, lock: ProjectLock) {
    drop(joins(adapter, lock, AcquireOptions::default()).await);
}

/// The numbers of the pull requests in each queue.
fn numbers(found: &Queues) -> Vec<(String, Vec<i64>)> {
    let numbers = |queue: &crate::ProjectQueue| {
        let waiters = queue.waiters.iter();
        waiters.map(|waiter| waiter.pull.as_ref().unwrap().num).collect()
    };
    found.queues.iter().map(|queue| (queue.name.to_string(), numbers(queue))).collect()
}

/// Nothing is invented where nothing is.
pub async fn store_without_locks_has_no_queues(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    let project = of(1).project;
    let all = [
        adapter.queues().await.unwrap(),
        adapter.queues_of_repo("owner/repo").await.unwrap(),
        adapter.queues_of_project(&project, "default").await.unwrap(),
        adapter.queues_of_pull("owner/repo", 1).await.unwrap(),
    ];
    for found in all {
        assert!(found.queues.is_empty() && found.damaged.is_empty(), "{found:?}");
        assert_eq!(found.statistics(), crate::QueueStatistics::default());
    }
}

/// A lock for which nobody waits.
pub async fn project_without_a_queue_has_none(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    adapter.try_lock(of(1)).await.unwrap();
    let found = adapter.queues().await.unwrap();
    let [queue] = &found.queues[..] else { panic!("{found:?}") };
    assert_eq!((queue.waiting, queue.waiters.len()), (0, 0));
    assert_eq!(queue.holder.as_ref().unwrap().lock, Some(of(1)));
    assert!(adapter.queues_of_pull("owner/repo", 1).await.unwrap().queues.is_empty());
    let statistics = found.statistics();
    assert_eq!((statistics.held, statistics.waiting, statistics.waited), (1, 0, None));
}

/// The queue status of the system that was to replace the locking read keys of another form than
/// those that were written, and so was empty always.
pub async fn queue_shows_whoever_joined_it(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    adapter.try_lock(of(1)).await.unwrap();
    queues_up(&adapter, of(2)).await;
    let urgent = AcquireOptions::default().with_priority(Priority::High);
    drop(joins(&adapter, of(3), urgent).await);
    let project = of(1).project;
    let all = [
        adapter.queues().await.unwrap(),
        adapter.queues_of_repo("owner/repo").await.unwrap(),
        adapter.queues_of_project(&project, "default").await.unwrap(),
    ];
    for found in all {
        assert_eq!(numbers(&found), [("owner/repo/path/default/".to_owned(), vec![3, 2])]);
        let queue = &found.queues[0];
        assert_eq!(queue.name.host, "github.com");
        assert_eq!(ProjectName::of_key(&queue.key).as_ref(), Some(&queue.name));
        assert_eq!(queue.name.key().unwrap(), queue.key);
        assert_eq!(queue.waiters.iter().map(|it| it.position).collect::<Vec<_>>(), [1, 2]);
        assert!(queue.waiters[0].head_start > queue.waiters[1].head_start);
        let holder = queue.holder.as_ref().unwrap();
        assert_eq!(holder.lock, Some(of(1)));
        assert_eq!(holder.pull.as_ref().unwrap().to_string(), "owner/repo#1");
        assert!(!holder.is_unclaimed);
    }
}

/// There it was the length of the queue.
pub async fn position_is_the_place_and_not_the_length(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    adapter.try_lock(of(1)).await.unwrap();
    for num in 2..=5 {
        queues_up(&adapter, of(num)).await;
    }
    for num in 2..=5 {
        let place = adapter.queue_position(&of(num).project, "default", &of(num).pull).await;
        let place = place.unwrap().unwrap();
        let found = adapter.queues_of_pull("owner/repo", num).await.unwrap();
        let [queue] = &found.queues[..] else { panic!("{found:?}") };
        let [waiter] = &queue.waiters[..] else { panic!("{found:?}") };
        assert_eq!((place.position, place.waiting), (num as u64 - 1, 4));
        assert_eq!((waiter.position, queue.waiting), (num as u64 - 1, 4));
    }
}

/// There the order within one second was that of random names.
pub async fn pulls_of_one_moment_stand_in_the_order_of_their_arrival(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    adapter.try_lock(of(1)).await.unwrap();
    for num in 2..30 {
        queues_up(&adapter, of(num)).await;
    }
    let found = adapter.queues().await.unwrap();
    assert_eq!(numbers(&found)[0].1, (2..30).collect::<Vec<_>>());
}

/// There the names of the project and the pull request were dropped, numbers above 2^53 changed, and
/// empty lists became objects, so that the lock could not be read when its turn had come.
pub async fn names_numbers_and_lists_outlive_the_queue(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    let mut next = of((1 << 53) + 1);
    "network".clone_into(&mut next.project.project_name);
    next.user.teams = Some(Vec::new());
    let mut first = of(1);
    first.project = next.project.clone();
    adapter.try_lock(first.clone()).await.unwrap();
    let turn = joins(&adapter, next.clone(), AcquireOptions::default()).await;
    let found = adapter.queues_of_project(&next.project, "default").await.unwrap();
    let [queue] = &found.queues[..] else { panic!("{found:?}") };
    assert_eq!(queue.name.project, next.project);
    assert_eq!(queue.waiters[0].pull.as_ref().unwrap().num, (1 << 53) + 1);
    adapter.unlock_if_owned_by_pull(&first.project, "default", 1).await.unwrap();
    assert_eq!(turn.await.unwrap().unwrap(), next);
    assert_eq!(adapter.get_lock(&next.project, "default").await.unwrap(), Some(next));
}

/// There each process had a queue in memory beside the one in the store.
pub async fn queues_are_the_same_in_every_process(fixture: impl QueueFixture) {
    let [one, other] = [fixture.process(), fixture.process()];
    one.try_lock(of(1)).await.unwrap();
    queues_up(&other, of(2)).await;
    queues_up(&one, of(3)).await;
    for adapter in [&one, &other, &fixture.process()] {
        assert_eq!(numbers(&adapter.queues().await.unwrap())[0].1, [2, 3]);
        let found = adapter.queues_of_pull("owner/repo", 3).await.unwrap();
        assert_eq!(found.queues[0].waiters[0].position, 2);
    }
    // The queue ends with its last request, and nothing of it stays.
    other.unlock_by_pull("owner/repo", 1).await.unwrap();
    other.unlock_by_pull("owner/repo", 2).await.unwrap();
    other.unlock_by_pull("owner/repo", 3).await.unwrap();
    while !one.queues().await.unwrap().queues.is_empty() {
        tokio::task::yield_now().await;
    }
}

/// In Atlantis a repository has what those have whose names begin with its own, and its brackets are
/// patterns.
pub async fn queues_of_a_repository_are_its_own(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    let repos = ["owner/repo", "owner/repo2", "own[er]/repo", "own*/repo", "owner/repo/sub"];
    for repo in repos {
        adapter.try_lock(lock(repo, "path", "default", 1)).await.unwrap();
        queues_up(&adapter, lock(repo, "path", "default", 2)).await;
    }
    for repo in repos {
        for found in [
            adapter.queues_of_repo(repo).await.unwrap(),
            adapter.queues_of_pull(repo, 2).await.unwrap(),
        ] {
            assert_eq!(numbers(&found), [(format!("{repo}/path/default/"), vec![2])]);
        }
    }
    assert_eq!(adapter.queues().await.unwrap().queues.len(), repos.len());
    // A key that is no project's does not count.
    let foreign = adapter.manager().acquire("project-of-mine").await.unwrap();
    assert_eq!(adapter.queues().await.unwrap().queues.len(), repos.len());
    foreign.release().await.unwrap();
}

/// Of each queue its own requests, at their places among all.
pub async fn queues_of_a_pull_show_its_places(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    for (path, pulls) in [("a", &[7][..]), ("b", &[8, 9, 7]), ("c", &[8])] {
        adapter.try_lock(lock("owner/repo", path, "default", 1)).await.unwrap();
        for &num in pulls {
            queues_up(&adapter, lock("owner/repo", path, "default", num)).await;
        }
    }
    adapter.try_lock(lock("owner/other", "a", "default", 1)).await.unwrap();
    queues_up(&adapter, lock("owner/other", "a", "default", 7)).await;
    let found = adapter.queues_of_pull("owner/repo", 7).await.unwrap();
    let places = found.queues.iter().flat_map(|queue| {
        let path = queue.name.project.path.clone();
        queue.waiters.iter().map(move |it| (path.clone(), it.position, queue.waiting))
    });
    assert_eq!(places.collect::<Vec<_>>(), [("a".into(), 1, 1), ("b".into(), 3, 3)]);
    assert!(found.queues.iter().all(|queue| queue.holder.is_some()));
}

/// In Atlantis they are one.
pub async fn project_at_two_hosts_has_two_queues(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    for (host, next) in [("github.com", 2), ("gitlab.com", 3)] {
        for num in [1, next] {
            let mut lock = of(num);
            host.clone_into(&mut lock.pull.base_repo.vcs_host.hostname);
            match num {
                1 => assert!(adapter.try_lock(lock).await.unwrap().0),
                _ => queues_up(&adapter, lock).await,
            }
        }
    }
    let found = adapter.queues_of_project(&of(1).project, "default").await.unwrap();
    let hosts = found.queues.iter().map(|queue| queue.name.host.as_str()).collect::<Vec<_>>();
    assert_eq!(hosts, ["github.com", "gitlab.com"]);
    assert_eq!(numbers(&found).iter().map(|(_, it)| it[0]).collect::<Vec<_>>(), [2, 3]);
}

/// There a cancel did nothing.
pub async fn cancelled_pull_is_in_no_queue(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    adapter.try_lock(of(1)).await.unwrap();
    let second = joins(&adapter, of(2), AcquireOptions::default()).await;
    queues_up(&adapter, of(3)).await;
    let project = of(2).project;
    assert!(fixture.process().cancel_wait(&project, "default", &of(2).pull).await.unwrap());
    assert!(matches!(second.await.unwrap().unwrap_err(), LegacyError::Cancelled));
    assert_eq!(numbers(&adapter.queues().await.unwrap())[0].1, [3]);
    assert!(adapter.queues_of_pull("owner/repo", 2).await.unwrap().queues.is_empty());
    assert_eq!(adapter.transfer_to_next(&project, "default").await.unwrap(), Some(of(3)));
}

/// There a transfer was declared and not supported, or kept the user of the lock that ended.
pub async fn next_pull_gets_the_lock_with_its_own_user(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    let by = |num, user: &str| {
        let mut lock = of(num);
        user.clone_into(&mut lock.user.username);
        user.clone_into(&mut lock.pull.author);
        lock
    };
    adapter.try_lock(by(1, "alice")).await.unwrap();
    let second = joins(&adapter, by(2, "bob"), AcquireOptions::default()).await;
    queues_up(&adapter, by(3, "carol")).await;
    let project = of(1).project;
    let handed = fixture.process().transfer_to_next(&project, "default").await.unwrap();
    assert_eq!(handed, Some(by(2, "bob")));
    assert_eq!(second.await.unwrap().unwrap(), by(2, "bob"));
    assert_eq!(adapter.get_lock(&project, "default").await.unwrap(), Some(by(2, "bob")));
    let found = adapter.queues().await.unwrap();
    assert_eq!(numbers(&found)[0].1, [3]);
    assert_eq!(found.queues[0].holder.as_ref().unwrap().pull.as_ref().unwrap().num, 2);
}

/// All together, and each project by itself.
pub async fn statistics_count_what_there_is(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    for path in ["a", "b", "c"] {
        adapter.try_lock(lock("owner/repo", path, "default", 1)).await.unwrap();
    }
    let urgent = AcquireOptions::default().with_priority(Priority::Critical);
    for (path, num, options) in [
        ("a", 2, AcquireOptions::default()),
        ("a", 3, urgent.clone()),
        ("b", 2, AcquireOptions::default()),
    ] {
        drop(joins(&adapter, lock("owner/repo", path, "default", num), options).await);
    }
    let found = adapter.queues().await.unwrap();
    let all = found.statistics();
    assert_eq!((all.projects, all.held, all.unclaimed, all.waiting), (3, 3, 0, 3));
    assert_eq!(all.by_head_start.values().copied().collect::<Vec<_>>(), [2, 1]);
    let each: Vec<_> = found.queues.iter().map(crate::ProjectQueue::statistics).collect();
    assert_eq!(each.iter().map(|it| it.waiting).collect::<Vec<_>>(), [2, 1, 0]);
    assert!(each[2].waited.is_none() && each[2].held_for.is_some());
    // The times are those of the entries, and of nothing else.
    let waits = || found.queues.iter().flat_map(|queue| &queue.waiters).map(|it| it.waited);
    let waited = all.waited.unwrap();
    assert_eq!(Some(waited.longest), waits().max());
    assert_eq!(waited.mean, waits().sum::<Duration>() / 3);
    assert_eq!(Some(waited.longest), each.iter().filter_map(|it| Some(it.waited?.longest)).max());
    assert!(waited.longest <= all.held_for.unwrap().longest, "{all:?}");
}

/// A waiter whose process died is granted the lock for its claim window alone.
pub async fn grant_that_nobody_claimed_is_counted_apart(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    adapter.try_lock(of(1)).await.unwrap();
    let (lease, _) = adapter.carried(&of(1)).await.unwrap().unwrap();
    let owner = OwnerId::parse("pull:github.com:owner/repo:2").unwrap();
    let dead = AcquireRequest::new(RequestId::random(), lease.key, owner).with_ttl(Ttl::Never);
    let keep_alive = KeepAlive::parse(Duration::from_secs(60)).unwrap();
    let queued = fixture.store().acquire(&dead.queueing(keep_alive)).await.unwrap().value;
    assert!(matches!(queued, Acquisition::Queued(_)), "{queued:?}");
    adapter.unlock(&of(1).project, "default").await.unwrap();
    let found = adapter.queues().await.unwrap();
    let statistics = found.statistics();
    assert_eq!((statistics.held, statistics.unclaimed, statistics.waiting), (0, 1, 0));
    let holder = found.queues[0].holder.as_ref().unwrap();
    assert_eq!((holder.pull.as_ref().unwrap().num, holder.is_unclaimed), (2, true));
    // It carries no lock.
    assert_eq!((&holder.lock, found.damaged.len()), (&None, 1));
}

/// In Atlantis one record hid all others.
pub async fn lock_that_cannot_be_read_hides_no_queue(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    put_lease(&adapter, &of(1), b"{").await;
    queues_up(&adapter, of(2)).await;
    adapter.try_lock(lock("owner/repo", "other", "default", 1)).await.unwrap();
    let odd = adapter.manager().acquire("project:odd").await.unwrap();
    let found = adapter.queues().await.unwrap();
    assert_eq!(found.queues.len(), 2);
    assert_eq!(numbers(&found)[1], ("owner/repo/path/default/".to_owned(), vec![2]));
    assert_eq!(found.queues[1].holder.as_ref().unwrap().lock, None);
    let damaged: Vec<_> = found.damaged.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(damaged, ["project:odd", "project:owner/repo:path:default::github.com"]);
    odd.release().await.unwrap();
}

/// In Atlantis a key that went between the listing and its reading failed the whole listing.
pub async fn queues_are_read_while_projects_come_and_go(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    let stays = lock("owner/repo", "stays", "default", 1);
    adapter.try_lock(stays.clone()).await.unwrap();
    queues_up(&adapter, lock("owner/repo", "stays", "default", 2)).await;
    let busy = fixture.process();
    let churn = tokio::spawn(async move {
        for round in 0.. {
            let lock = lock("owner/repo", &format!("path-{}", round % 7), "default", 1);
            busy.try_lock(lock.clone()).await.unwrap();
            busy.unlock_if_owned_by_pull(&lock.project, "default", 1).await.unwrap();
        }
    });
    for _ in 0..100 {
        let found = adapter.queues().await.unwrap();
        assert!(found.damaged.is_empty(), "{found:?}");
        let numbers = numbers(&found);
        assert_eq!(numbers.last().unwrap(), &("owner/repo/stays/default/".to_owned(), vec![2]));
    }
    assert!(!churn.is_finished(), "it failed");
    churn.abort();
}

/// The field and its limit are in the words.
pub async fn name_without_a_key_is_refused_with_its_limit(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    let project = Project::new("owner/repo", &"x".repeat(2000), "");
    let error = adapter.queues_of_project(&project, "default").await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("key has ") && text.contains("at most 1024"), "{text}");
    assert!(matches!(error, LegacyError::Invalid(_)) && !error.is_unknown(), "{error:?}");
    let error = adapter.queues_of_pull(&"x".repeat(2000), 1).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("owner has ") && text.contains("at most "), "{text}");
    assert!(matches!(error, LegacyError::Invalid(_)), "{error:?}");
    // No lock has such a key, so a repository of this name has none.
    let found = adapter.queues_of_repo(&"x".repeat(2000)).await.unwrap();
    assert!(found.queues.is_empty() && found.damaged.is_empty());
    let limit = AcquireOptions::default().with_queue_limit(NonZeroU32::MIN);
    adapter.try_lock(of(1)).await.unwrap();
    queues_up(&adapter, of(2)).await;
    let error = adapter.acquire(of(3), &limit).await.unwrap_err();
    assert!(matches!(error, LegacyError::NotAcquired(_)), "{error:?}");
    assert_eq!(
        LegacyKey::of(&of(1)).to_string(),
        adapter.queues().await.unwrap().queues[0].name.to_string()
    );
}
