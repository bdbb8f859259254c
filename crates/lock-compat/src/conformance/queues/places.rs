//! What queues show: places, projects and counts.

use std::time::Duration;

use lock_core::{AcquireRequest, Acquisition, KeepAlive, OwnerId, Priority, RequestId, Ttl};

use super::{QueueFixture, joins, lock, numbers, of, queues_up};
use crate::{AcquireOptions, LegacyBackend, ProjectName};

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
