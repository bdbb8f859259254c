//! The largest locks: those that fit into a lease are kept to the byte, the others are refused.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use lock_compat::conformance::lock;
use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::{ProjectLock, Stored, encode};
use lock_compat::{AcquireOptions, LegacyBackend, LegacyError, LockAdapter, convert_to_legacy};
use lock_core::{LockManager, LockStore, Metadata, OwnerId};
use lock_memory::MemoryBackend;
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::server::RedisServer;

/// Number of bytes that a lease has for a lock.
const ROOM: usize = Metadata::MAX_BYTES;

fn over(store: impl LockStore) -> LockAdapter {
    let owner = OwnerId::parse("atlantis").unwrap();
    LockAdapter::new(LockManager::new(store, owner), MemoryDocuments::new())
}

fn described(body: String) -> ProjectLock {
    let mut lock = lock("owner/repo", "path", "default", 1);
    lock.pull.body = Some(body);
    lock
}

/// The bytes of a lock that carries this description, without the description itself, and of the
/// names of what the lease carries.
fn bytes_beside_the_description() -> usize {
    let empty = described(String::new());
    encode(&empty).len() + "lock".len() + "body".len() + "author".len() + empty.pull.author.len()
}

/// It is locked, found, listed and unlocked, to the byte.
async fn assert_kept(store: &LockAdapter, lock: &ProjectLock) {
    assert_eq!(store.try_lock(lock.clone()).await.unwrap(), (true, lock.clone()));
    let mut other = lock.clone();
    (other.pull.num, other.pull.body) = (2, None);
    assert_eq!(store.try_lock(other).await.unwrap(), (false, lock.clone()));
    let stored = store.stored(&lock.project, "default").await.unwrap().unwrap();
    assert_eq!(stored.encode(), encode(lock));
    let (lease, bytes) = store.carried(lock).await.unwrap().unwrap();
    assert_eq!(bytes, encode(lock));
    assert_eq!(convert_to_legacy(&lease), *lock);
    assert_eq!(store.list().await.unwrap().locks, std::slice::from_ref(lock));
    assert_eq!(store.unlock(&lock.project, "default").await.unwrap(), Some(lock.clone()));
}

/// It is refused with this text for every caller, and nothing is locked.
async fn assert_refused(store: &LockAdapter, lock: &ProjectLock, text: &str) {
    let errors = [
        store.try_lock(lock.clone()).await.unwrap_err(),
        store.acquire(lock.clone(), &AcquireOptions::default()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, LegacyError::Invalid(_)) && !error.is_unknown(), "{error:?}");
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(store.get_lock(&lock.project, "default").await.unwrap(), None);
    assert!(store.list().await.unwrap().locks.is_empty());
}

async fn escaped_descriptions_are_kept(store: LockAdapter) {
    // Each of these takes six bytes in JSON, or two.
    for (text, count) in [("<", 200_000), ("\u{2028}&>", 100_000), ("\"\\\n", 300_000)] {
        assert_kept(&store, &described(text.repeat(count))).await;
    }
}

#[tokio::test]
async fn description_is_measured_by_its_own_bytes_and_not_by_those_of_json() {
    escaped_descriptions_are_kept(over(MemoryBackend::new())).await;
}

#[tokio::test]
async fn description_is_measured_by_its_own_bytes_in_redis_too() {
    let server = RedisServer::start().await;
    let config = RedisConfig::parse(&server.url()).unwrap();
    escaped_descriptions_are_kept(over(RedisBackend::connect(config).await.unwrap())).await;
}

#[tokio::test]
async fn largest_description_is_kept_and_one_byte_more_is_refused() {
    let store = over(MemoryBackend::new());
    let most = ROOM - bytes_beside_the_description();
    assert_kept(&store, &described("<".repeat(most))).await;
    let text = "db transaction failed: metadata has 1048577 bytes, at most 1048576 are allowed";
    assert_refused(&store, &described("<".repeat(most + 1)), text).await;
    // Bytes count, and not characters. These are the same in JSON, and carried in it.
    let most = most + "body".len();
    assert_kept(&store, &described("é".repeat(most / 2))).await;
    let more = "x".repeat(most % 2 + 1);
    let text = "db transaction failed: metadata has 1048581 bytes, at most 1048576 are allowed";
    assert_refused(&store, &described("é".repeat(most / 2) + &more), text).await;
}

#[tokio::test]
async fn longest_description_of_gitlab_is_refused_in_the_legacy_words() {
    let store = over(MemoryBackend::new());
    let bytes = ROOM + bytes_beside_the_description();
    let text =
        format!("db transaction failed: metadata has {bytes} bytes, at most 1048576 are allowed");
    assert_refused(&store, &described("x".repeat(1_048_576)), &text).await;
}

#[tokio::test]
async fn record_of_another_shape_is_refused_whole_or_kept_to_the_byte() {
    let store = over(MemoryBackend::new());
    let bytes = String::from_utf8(encode(&described("<".repeat(200_000)))).unwrap();
    // What the description would be taken for is somewhere else, too.
    for (number, more) in [r#""Body":"","#, r#""X":{"Body":""},"#].into_iter().enumerate() {
        let shape = bytes.replacen('{', &format!("{{{more}"), 1);
        let stored = Stored::<ProjectLock>::read("pr/", shape.as_bytes()).unwrap();
        let error = store.try_stored(&stored).await.unwrap_err();
        assert!(matches!(error, LegacyError::Invalid(_)), "{number}: {error:?}");
    }
    let shape = bytes.replacen('{', "{\n \"X\": [1e3],", 1);
    let stored = Stored::<ProjectLock>::read("pr/", shape.as_bytes()).unwrap();
    assert_eq!(store.try_stored(&stored).await.unwrap(), None);
    let found = store.stored(&stored.value().project, "default").await.unwrap().unwrap();
    assert_eq!(found.encode(), shape.as_bytes());
}

#[tokio::test]
async fn key_is_measured_by_its_encoded_bytes() {
    let store = over(MemoryBackend::new());
    let room = 1024 - "project:owner/repo::default::github.com".len();
    // A colon takes three bytes in the key.
    let paths = [1, 3].map(|bytes| (if bytes == 1 { "x" } else { ":" }).repeat(room / bytes));
    for path in paths {
        let rest = room - path.replace(':', "%3A").len();
        let fitting = lock("owner/repo", &(path + &"x".repeat(rest)), "default", 1);
        assert_kept(&store, &fitting).await;
        let longer = lock("owner/repo", &(fitting.project.path + "x"), "default", 1);
        let text = "db transaction failed: key has 1025 bytes, at most 1024 are allowed";
        assert_refused(&store, &longer, text).await;
    }
}

#[tokio::test]
async fn pull_request_of_a_project_without_a_key_does_not_wait() {
    let store = over(MemoryBackend::new());
    let long = lock("owner/repo", &"long/".repeat(400), "default", 1);
    let place = store.queue_position(&long.project, "default", &long.pull).await.unwrap();
    assert_eq!(place, None);
    assert!(!store.cancel_wait(&long.project, "default", &long.pull).await.unwrap());
    assert_eq!(store.transfer_to_next(&long.project, "default").await.unwrap(), None);
    assert_eq!(store.unlock(&long.project, "default").await.unwrap(), None);
}
