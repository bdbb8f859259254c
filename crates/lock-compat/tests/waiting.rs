//! Extensions of the adapter: waiting, positions, priorities and transfers.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::num::NonZeroU32;
use std::pin::pin;
use std::time::Duration;

use lock_compat::conformance::lock;
use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::{LegacyKey, ProjectLock};
use lock_compat::{
    AcquireOptions, LegacyBackend, LegacyError, LockAdapter, UnlockOutcome, Unlocking, unlock_each,
};
use lock_core::{
    Change, ErrorKind, EventFilter, LockManager, LockStore, Operation, OwnerId, Priority, Watched,
};
use lock_memory::MemoryBackend;
use lock_testkit::{Fault, Faulty};
use tokio::time::{sleep, timeout};

fn adapter() -> LockAdapter {
    over(MemoryBackend::new())
}

fn over(store: impl LockStore) -> LockAdapter {
    let owner = OwnerId::parse("atlantis").unwrap();
    LockAdapter::new(LockManager::new(store, owner), MemoryDocuments::new())
}

fn of(num: i64) -> ProjectLock {
    let mut lock = lock("owner/repo", "path", "default", num);
    lock.pull.author = format!("author-{num}");
    lock
}

async fn holder(adapter: &LockAdapter) -> Option<i64> {
    let lock = adapter.get_lock(&of(0).project, "default").await.unwrap();
    lock.map(|lock| lock.pull.num)
}

/// Starts to wait, and returns when the request stands in the queue.
async fn wait_in_line(
    adapter: &LockAdapter,
    num: i64,
    options: AcquireOptions,
) -> tokio::task::JoinHandle<lock_compat::Result<ProjectLock>> {
    let waiting = adapter.clone();
    let task = tokio::spawn(async move { waiting.acquire(of(num), &options).await });
    let of = of(num);
    while adapter.queue_position(&of.project, "default", &of.pull).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    task
}

#[tokio::test(start_paused = true)]
async fn free_project_is_acquired_at_once() {
    let adapter = adapter();
    assert_eq!(adapter.acquire(of(1), &AcquireOptions::default()).await.unwrap(), of(1));
    assert_eq!(holder(&adapter).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn lock_that_was_waited_for_never_ends() {
    let adapter = adapter();
    adapter.try_lock(of(1)).await.unwrap();
    let second = wait_in_line(&adapter, 2, AcquireOptions::default()).await;
    adapter.unlock(&of(1).project, "default").await.unwrap();
    assert_eq!(second.await.unwrap().unwrap(), of(2));
    sleep(Duration::from_secs(365 * 24 * 60 * 60)).await;
    assert_eq!(holder(&adapter).await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn queue_positions_name_the_holder() {
    let adapter = adapter();
    adapter.try_lock(of(1)).await.unwrap();
    let _second = wait_in_line(&adapter, 2, AcquireOptions::default()).await;
    let _third = wait_in_line(&adapter, 3, AcquireOptions::default()).await;
    let urgent = AcquireOptions::default().with_priority(Priority::High);
    let _fourth = wait_in_line(&adapter, 4, urgent).await;
    for (num, position) in [(4, 1), (2, 2), (3, 3)] {
        let of = of(num);
        let place =
            adapter.queue_position(&of.project, "default", &of.pull).await.unwrap().unwrap();
        let holder = place.holder.map(|lock| lock.pull.num);
        assert_eq!((place.position, place.waiting, holder), (position, 3, Some(1)));
    }
    assert_eq!(adapter.queue_position(&of(9).project, "default", &of(9).pull).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn wait_ends_when_its_time_is_up() {
    let adapter = adapter();
    adapter.try_lock(of(1)).await.unwrap();
    let options = AcquireOptions::default().with_wait(Duration::from_secs(60));
    let error = adapter.acquire(of(2), &options).await.unwrap_err();
    let LegacyError::NotAcquired(error) = error else { unreachable!("{error:?}") };
    assert_eq!(error.position().unwrap().value.position, 1);
    adapter.unlock(&of(1).project, "default").await.unwrap();
    // A caller that gave up leaves the queue in the background, also if its turn comes meanwhile.
    while holder(&adapter).await.is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn wait_ends_in_its_time_while_the_store_is_silent() {
    let store = Faulty::new(MemoryBackend::new());
    let adapter = over(store.clone());
    adapter.try_lock(of(1)).await.unwrap();
    let options = AcquireOptions::default().with_wait(Duration::from_secs(60));
    let second = wait_in_line(&adapter, 2, options).await;
    store.inject(Operation::Acquire, Fault::Hangs);
    store.inject(Operation::Hear, Fault::Hangs);
    let error = second.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the lock was not acquired");
    let LegacyError::NotAcquired(error) = error else { unreachable!("{error:?}") };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.position().unwrap().value.position, 1);
}

#[tokio::test(start_paused = true)]
async fn wait_ends_when_the_waiter_is_evicted() {
    let adapter = adapter();
    adapter.try_lock(of(1)).await.unwrap();
    let second = wait_in_line(&adapter, 2, AcquireOptions::default()).await;
    let manager = adapter.manager();
    let inspection =
        manager.inspect("project:owner/repo:path:default::github.com").await.unwrap().value;
    let waiter = inspection.waiters.items.into_iter().next().unwrap();
    assert!(manager.evict_waiter(waiter.key, waiter.request, "a freeze").await.unwrap());
    let error = second.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the lock was not acquired");
    let LegacyError::NotAcquired(error) = error else { unreachable!("{error:?}") };
    assert!(error.to_string().contains("a freeze"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn queue_may_be_too_long() {
    let adapter = adapter();
    adapter.try_lock(of(1)).await.unwrap();
    let _second = wait_in_line(&adapter, 2, AcquireOptions::default()).await;
    let options = AcquireOptions::default().with_queue_limit(NonZeroU32::MIN);
    let error = adapter.acquire(of(3), &options).await.unwrap_err();
    assert!(matches!(error, LegacyError::NotAcquired(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn wait_can_be_cancelled() {
    let adapter = adapter();
    adapter.try_lock(of(1)).await.unwrap();
    let second = wait_in_line(&adapter, 2, AcquireOptions::default()).await;
    let cancel = async |num| adapter.cancel_wait(&of(num).project, "default", &of(num).pull).await;
    assert!(!cancel(3).await.unwrap());
    assert!(cancel(2).await.unwrap());
    assert!(matches!(second.await.unwrap().unwrap_err(), LegacyError::Cancelled));
    assert!(!cancel(2).await.unwrap());
    adapter.unlock(&of(1).project, "default").await.unwrap();
    assert!(adapter.try_lock(of(3)).await.unwrap().0);
}

#[tokio::test(start_paused = true)]
async fn dropped_wait_leaves_the_queue() {
    let adapter = adapter();
    adapter.try_lock(of(1)).await.unwrap();
    let options = AcquireOptions::default();
    let waiting = adapter.acquire(of(2), &options);
    assert!(timeout(Duration::from_secs(1), pin!(waiting)).await.is_err());
    let is_gone = async || {
        adapter.queue_position(&of(2).project, "default", &of(2).pull).await.unwrap().is_none()
    };
    while !is_gone().await {
        tokio::task::yield_now().await;
    }
    let (project, pull) = (of(2).project, of(2).pull);
    assert!(!adapter.cancel_wait(&project, "default", &pull).await.unwrap());
}

/// Two processes with one store.
fn two() -> [LockAdapter; 2] {
    let (store, documents) = (MemoryBackend::new(), MemoryDocuments::new());
    ["one", "other"].map(|owner| {
        let manager = LockManager::new(store.clone(), OwnerId::parse(owner).unwrap());
        LockAdapter::new(manager, documents.clone())
    })
}

#[tokio::test(start_paused = true)]
async fn closed_pull_waits_no_more_in_whatever_process() {
    let [one, other] = two();
    one.try_lock(of(1)).await.unwrap();
    let second = wait_in_line(&one, 2, AcquireOptions::default()).await;
    assert!(other.unlock_by_pull("owner/repo", 2).await.unwrap().locks.is_empty());
    assert!(matches!(second.await.unwrap().unwrap_err(), LegacyError::Cancelled));
    other.unlock_by_pull("owner/repo", 1).await.unwrap();
    assert_eq!(holder(&one).await, None);
    assert!(one.try_lock(of(3)).await.unwrap().0);
}

#[tokio::test(start_paused = true)]
async fn wait_is_cancelled_by_another_process() {
    let [one, other] = two();
    one.try_lock(of(1)).await.unwrap();
    let second = wait_in_line(&one, 2, AcquireOptions::default()).await;
    let (project, pull) = (of(2).project, of(2).pull);
    assert!(other.cancel_wait(&project, "default", &pull).await.unwrap());
    assert!(matches!(second.await.unwrap().unwrap_err(), LegacyError::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn pull_that_plans_again_goes_on_with_its_lock() {
    let [one, other] = two();
    one.try_lock(of(1)).await.unwrap();
    let mut again = of(1);
    again.user.username = "bob".to_owned();
    let waits = AcquireOptions::default();
    let again = timeout(Duration::from_secs(60), other.acquire(again, &waits));
    assert_eq!(again.await.expect("it does not wait").unwrap(), of(1));
    // Of two requests of one pull request, the second goes on with the lock of the first.
    let (first, second) =
        (wait_in_line(&one, 2, waits.clone()).await, other.acquire(of(2), &waits));
    let project = of(1).project;
    let unlock = one.unlock(&project, "default");
    let second = timeout(Duration::from_secs(60), second);
    let (second, unlocked) = tokio::join!(second, unlock);
    assert_eq!(unlocked.unwrap(), Some(of(1)));
    assert_eq!(first.await.unwrap().unwrap(), of(2));
    assert_eq!(second.expect("it does not wait").unwrap(), of(2));
    assert_eq!(holder(&one).await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn pull_request_releases_and_others_evict() {
    let adapter = adapter();
    let mut events = adapter.manager().watch(&EventFilter::all(), None).await.unwrap();
    let mut change = async || loop {
        let event = std::future::poll_fn(|context| events.as_mut().poll_next(context)).await;
        let Some(Watched::Event(event)) = event else { unreachable!("{event:?}") };
        if !matches!(event.change, Change::Granted(_)) {
            return event.change;
        }
    };
    let project = of(1).project;

    adapter.try_lock(of(1)).await.unwrap();
    let other = adapter.unlock_if_owned_by_pull(&project, "default", 2).await.unwrap();
    assert_eq!((other, holder(&adapter).await), (None, Some(1)));
    let own = adapter.unlock_if_owned_by_pull(&project, "default", 1).await.unwrap();
    assert_eq!((own, holder(&adapter).await), (Some(of(1)), None));
    assert!(matches!(change().await, Change::Released(_)));

    adapter.try_lock(of(1)).await.unwrap();
    assert_eq!(adapter.unlock_by_pull("owner/repo", 1).await.unwrap().locks, [of(1)]);
    assert!(matches!(change().await, Change::Released(_)));

    adapter.try_lock(of(1)).await.unwrap();
    assert_eq!(adapter.unlock(&project, "default").await.unwrap(), Some(of(1)));
    let Change::Evicted { by, reason, .. } = change().await else { unreachable!("it is force") };
    assert_eq!((by.as_str(), reason.as_str()), ("atlantis", "unlocked"));
}

#[tokio::test(start_paused = true)]
async fn pull_request_that_unlocks_hands_on_to_the_next() {
    let adapter = adapter();
    adapter.try_lock(of(1)).await.unwrap();
    let second = wait_in_line(&adapter, 2, AcquireOptions::default()).await;
    adapter.unlock_by_pull("owner/repo", 1).await.unwrap();
    assert_eq!(second.await.unwrap().unwrap(), of(2));
    assert_eq!(holder(&adapter).await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn project_is_handed_to_the_next_with_its_author_in_the_event() {
    let adapter = adapter();
    let project = of(0).project;
    assert_eq!(adapter.transfer_to_next(&project, "default").await.unwrap(), None);
    adapter.try_lock(of(1)).await.unwrap();
    assert_eq!(adapter.transfer_to_next(&project, "default").await.unwrap(), None);
    let second = wait_in_line(&adapter, 2, AcquireOptions::default()).await;
    let mut events = adapter.manager().watch(&EventFilter::all(), None).await.unwrap();
    assert_eq!(adapter.transfer_to_next(&project, "default").await.unwrap(), Some(of(2)));
    assert_eq!(second.await.unwrap().unwrap(), of(2));
    assert_eq!(holder(&adapter).await, Some(2));
    let event = std::future::poll_fn(|context| events.as_mut().poll_next(context)).await;
    let Some(Watched::Event(event)) = event else { unreachable!("{event:?}") };
    let Change::Transferred { from, to } = event.change else { unreachable!("{event:?}") };
    assert_eq!(from.metadata.get("author"), Some("author-1"));
    assert_eq!(to.metadata.get("author"), Some("author-2"));
}

/// The numbers of the pull requests that wait, the next one first.
async fn queue(adapter: &LockAdapter) -> Vec<i64> {
    let found = adapter.queues_of_project(&of(0).project, "default").await.unwrap();
    let waiters = found.queues.iter().flat_map(|queue| &queue.waiters);
    waiters.map(|waiter| waiter.pull.as_ref().unwrap().num).collect()
}

/// The queues of the system that was to replace the locking were gone after an hour.
#[tokio::test(start_paused = true)]
async fn queue_is_as_it_was_after_hours() {
    let adapter = adapter();
    adapter.try_lock(of(1)).await.unwrap();
    let _second = wait_in_line(&adapter, 2, AcquireOptions::default()).await;
    sleep(Duration::from_secs(60 * 60)).await;
    let _third = wait_in_line(&adapter, 3, AcquireOptions::default()).await;
    sleep(Duration::from_secs(2 * 60 * 60)).await;
    assert_eq!((holder(&adapter).await, queue(&adapter).await), (Some(1), vec![2, 3]));
    let statistics = adapter.queues().await.unwrap().statistics();
    let waited = statistics.waited.unwrap();
    assert_eq!(waited.longest.as_secs() / 60, 3 * 60, "{waited:?}");
    assert_eq!(waited.mean.as_secs() / 60, 2 * 60 + 30, "{waited:?}");
}

/// There the request that was taken from the queue was lost if it could not be put back.
#[tokio::test(start_paused = true)]
async fn transfer_that_fails_loses_no_pull() {
    let store = Faulty::new(MemoryBackend::new());
    let adapter = over(store.clone());
    adapter.try_lock(of(1)).await.unwrap();
    let second = wait_in_line(&adapter, 2, AcquireOptions::default()).await;
    let _third = wait_in_line(&adapter, 3, AcquireOptions::default()).await;
    let project = of(1).project;
    store.inject(Operation::Transfer, Fault::Refused);
    let error = adapter.transfer_to_next(&project, "default").await.unwrap_err();
    assert!(!error.is_unknown(), "{error:?}");
    assert_eq!((holder(&adapter).await, queue(&adapter).await), (Some(1), vec![2, 3]));
    store.inject(Operation::Transfer, Fault::AnswerLost);
    let error = adapter.transfer_to_next(&project, "default").await.unwrap_err();
    assert!(error.is_unknown(), "{error:?}");
    assert_eq!(second.await.unwrap().unwrap(), of(2));
    assert_eq!((holder(&adapter).await, queue(&adapter).await), (Some(2), vec![3]));
}

#[tokio::test(start_paused = true)]
async fn project_whose_unlock_is_unknown_stops_no_other() {
    let store = Faulty::new(MemoryBackend::new());
    let adapter = over(store.clone());
    let locks = ["a", "b", "c"].map(|path| lock("owner/repo", path, "default", 1));
    for lock in &locks {
        adapter.try_lock(lock.clone()).await.unwrap();
    }
    let keys = || locks.iter().map(LegacyKey::of);
    let all = async || unlock_each(&adapter, keys(), Unlocking::Anybody).await;
    store.inject(Operation::Evict, Fault::Refused);
    let refused = all().await;
    assert!(refused.iter().all(|it| matches!(it.outcome, UnlockOutcome::Failed(_))), "{refused:?}");
    assert_eq!(adapter.list().await.unwrap().locks.len(), 3);
    store.inject(Operation::Evict, Fault::AnswerLost);
    let unknown = all().await;
    assert_eq!(unknown.len(), 3);
    assert!(
        unknown.iter().all(|it| matches!(it.outcome, UnlockOutcome::Unknown(_))),
        "{unknown:?}"
    );
    store.heal();
    let again = all().await;
    assert!(again.iter().all(|it| matches!(it.outcome, UnlockOutcome::NotHeld)), "{again:?}");
}

/// Whoever is granted the lock by the first unlock is not meant by the second.
#[tokio::test(start_paused = true)]
async fn project_that_is_named_twice_is_unlocked_once() {
    let adapter = adapter();
    adapter.try_lock(of(1)).await.unwrap();
    let second = wait_in_line(&adapter, 2, AcquireOptions::default()).await;
    let key = LegacyKey::of(&of(1));
    let unlocked = unlock_each(&adapter, [key.clone(), key], Unlocking::Anybody).await;
    let [only] = &unlocked[..] else { unreachable!("{unlocked:?}") };
    assert!(matches!(&only.outcome, UnlockOutcome::Unlocked(lock) if **lock == of(1)), "{only:?}");
    assert_eq!(second.await.unwrap().unwrap(), of(2));
    assert_eq!(holder(&adapter).await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn queues_of_a_store_that_fails_are_an_error() {
    let store = Faulty::new(MemoryBackend::new());
    let adapter = over(store.clone());
    adapter.try_lock(of(1)).await.unwrap();
    for operation in [Operation::List, Operation::Inspect] {
        store.inject(operation, Fault::Refused);
        let error = adapter.queues().await.unwrap_err();
        assert!(matches!(error, LegacyError::Store { unknown: false, .. }), "{error:?}");
        store.heal();
    }
    assert_eq!(adapter.queues().await.unwrap().queues.len(), 1);
}
