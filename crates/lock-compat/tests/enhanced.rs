//! Extensions of the adapter, over a real Redis and with two processes.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::num::NonZeroU32;
use std::time::Duration;

use lock_compat::conformance::lock;
use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::ProjectLock;
use lock_compat::{
    AcquireOptions, LegacyBackend, LegacyError, LockAdapter, Result, convert_to_legacy,
};
use lock_core::{
    Change, End, ErrorKind, EventFilter, LockManager, LossReason, OwnerId, Priority, Watched,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::server::RedisServer;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two processes: each has a connection and a manager of its own.
async fn two(server: &RedisServer) -> [LockAdapter; 2] {
    let config = RedisConfig::parse(&server.url()).unwrap();
    connected(config.with_journal(NonZeroU32::new(1000).unwrap())).await
}

async fn connected(config: RedisConfig) -> [LockAdapter; 2] {
    let documents = MemoryDocuments::new();
    let adapter = async |owner: &str| {
        let config = config.clone();
        let store = RedisBackend::connect(config).await.unwrap();
        let manager = LockManager::new(store, OwnerId::parse(owner).unwrap());
        LockAdapter::new(manager, documents.clone())
    };
    [adapter("one").await, adapter("other").await]
}

fn of(num: i64) -> ProjectLock {
    let mut lock = lock("owner/repo", "path", "default", num);
    lock.pull.author = format!("author-{num}");
    lock
}

/// Starts to wait, and returns when the request stands in the queue.
async fn wait_in_line(
    adapter: &LockAdapter,
    num: i64,
    options: AcquireOptions,
) -> JoinHandle<Result<ProjectLock>> {
    let waiting = adapter.clone();
    let task = tokio::spawn(async move { waiting.acquire(of(num), &options).await });
    let of = of(num);
    while adapter.queue_position(&of.project, "default", &of.pull).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    task
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("it ends")
}

#[tokio::test]
async fn waits_priorities_and_places_are_shared_by_processes() {
    let server = RedisServer::start().await;
    let [one, other] = two(&server).await;
    assert_eq!(one.acquire(of(1), &AcquireOptions::default()).await.unwrap(), of(1));
    let second = wait_in_line(&other, 2, AcquireOptions::default()).await;
    let urgent = AcquireOptions::default().with_priority(Priority::High);
    let third = wait_in_line(&one, 3, urgent).await;
    for (num, position) in [(3, 1), (2, 2)] {
        let place = other.queue_position(&of(num).project, "default", &of(num).pull).await.unwrap();
        let place = place.unwrap();
        let holder = place.holder.map(|lock| lock.pull.num);
        assert_eq!((place.position, place.waiting, holder), (position, 2, Some(1)));
    }
    let full = AcquireOptions::default().with_queue_limit(NonZeroU32::new(2).unwrap());
    let error = other.acquire(of(4), &full).await.unwrap_err();
    assert!(matches!(error, LegacyError::NotAcquired(_)), "{error:?}");
    other.unlock_by_pull("owner/repo", 1).await.unwrap();
    assert_eq!(within(third).await.unwrap().unwrap(), of(3));
    one.unlock(&of(3).project, "default").await.unwrap();
    assert_eq!(within(second).await.unwrap().unwrap(), of(2));
}

#[tokio::test]
async fn wait_ends_in_time_or_when_another_process_cancels_it() {
    let server = RedisServer::start().await;
    let [one, other] = two(&server).await;
    one.try_lock(of(1)).await.unwrap();
    let short = AcquireOptions::default().with_wait(Duration::from_millis(200));
    let error = within(one.acquire(of(2), &short)).await.unwrap_err();
    assert!(matches!(error, LegacyError::NotAcquired(_)), "{error:?}");
    let third = wait_in_line(&one, 3, AcquireOptions::default()).await;
    let of = of(3);
    assert!(other.cancel_wait(&of.project, "default", &of.pull).await.unwrap());
    assert!(matches!(within(third).await.unwrap().unwrap_err(), LegacyError::Cancelled));
    let fourth = wait_in_line(&one, 4, AcquireOptions::default()).await;
    other.unlock_by_pull("owner/repo", 4).await.unwrap();
    assert!(matches!(within(fourth).await.unwrap().unwrap_err(), LegacyError::Cancelled));
    let again = within(other.acquire(self::of(1), &AcquireOptions::default())).await;
    assert_eq!(again.unwrap(), self::of(1));
}

#[tokio::test]
async fn project_is_handed_on_and_the_event_has_both_authors() {
    let server = RedisServer::start().await;
    let [one, other] = two(&server).await;
    one.try_lock(of(1)).await.unwrap();
    let second = wait_in_line(&other, 2, AcquireOptions::default()).await;
    let mut events = one.manager().watch(&EventFilter::all(), None).await.unwrap();
    let project = of(1).project;
    assert_eq!(one.transfer_to_next(&project, "default").await.unwrap(), Some(of(2)));
    assert_eq!(within(second).await.unwrap().unwrap(), of(2));
    let change = within(async {
        loop {
            let event = std::future::poll_fn(|context| events.as_mut().poll_next(context)).await;
            if let Some(Watched::Event(event)) = event
                && let Change::Transferred { from, to } = event.change
            {
                return (from, to);
            }
        }
    });
    let (from, to) = change.await;
    assert_eq!([from, to].map(|it| convert_to_legacy(&it).pull.author), ["author-1", "author-2"]);
    assert_eq!(one.get_lock(&project, "default").await.unwrap(), Some(of(2)));
}

#[tokio::test]
async fn both_authors_of_a_transfer_are_notified_without_a_journal() {
    let server = RedisServer::start().await;
    let [one, other] = connected(RedisConfig::parse(&server.url()).unwrap()).await;
    let watched = one.manager().watch(&EventFilter::all(), None).await;
    assert_eq!(watched.err().unwrap().kind(), ErrorKind::Unsupported);
    one.try_lock(of(1)).await.unwrap();
    let (lease, _) = one.carried(&of(1)).await.unwrap().unwrap();
    let guard = one.manager().adopt(&lease).await.unwrap();
    let second = wait_in_line(&other, 2, AcquireOptions::default()).await;
    // Another process hands it on.
    let project = of(1).project;
    assert_eq!(other.transfer_to_next(&project, "default").await.unwrap(), Some(of(2)));
    let LossReason::Ended(end) = within(guard.lost()).await else { unreachable!("{guard:?}") };
    assert_eq!(convert_to_legacy(guard.lease()).pull.author, "author-1");
    let to = one.pull_handed_to(guard.key(), &end).await.unwrap();
    assert_eq!(to, Some(of(2).pull));
    assert_eq!(within(second).await.unwrap().unwrap().pull.author, "author-2");
    // When its lease is over as well, only the end remains.
    one.unlock(&project, "default").await.unwrap();
    let to = one.pull_handed_to(guard.key(), &end).await.unwrap().unwrap();
    assert_eq!((to.num, to.base_repo.full_name, to.author), (2, "owner/repo".into(), "".into()));
    assert_eq!(one.pull_handed_to(guard.key(), &End::Cancelled).await.unwrap(), None);
}
