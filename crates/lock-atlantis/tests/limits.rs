//! Atlantis' layout at its limits: old keys, foreign keys, sizes, users with few permissions, a
//! full server, and a concurrent Atlantis.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use lock_atlantis::fallback::{Fallback, FallbackConfig};
use lock_atlantis::migrate::{Migration, Source};
use lock_atlantis::{AtlantisRedis, ServerConfig};
use lock_compat::conformance::lock;
use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::{CommandName, LegacyKey, Outcome, ProjectLock, ProjectResult, encode};
use lock_compat::{LegacyBackend, LegacyError, LegacyLocker, LockAdapter, LockerClient};
use lock_core::{LockManager, OwnerId, TokioClock};
use lock_memory::MemoryBackend;
use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::{RedisServer, ServerConfig as Setup};

fn config(server: &RedisServer) -> ServerConfig {
    ServerConfig::parse(&server.url()).unwrap()
}

async fn store(server: &RedisServer) -> AtlantisRedis {
    AtlantisRedis::connect(config(server)).await.unwrap()
}

fn adapter() -> LockAdapter {
    let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("atlantis").unwrap());
    LockAdapter::new(manager, MemoryDocuments::new())
}

fn text(lock: &ProjectLock) -> String {
    String::from_utf8(encode(lock)).unwrap()
}

#[tokio::test]
async fn lock_in_conflict_under_an_old_key_is_unlocked_by_its_key() {
    let server = RedisServer::start().await;
    let [new, old] = [1, 2].map(|num| lock("owner/repo", "path", "default", num));
    let key = LegacyKey::of(&new);
    for (key, lock) in [(key.to_string(), &new), (key.before_names(), &old)] {
        assert_eq!(server.command(&["SET", &format!("pr/{key}"), &text(lock)]).await, "OK");
    }
    let store = store(&server).await;
    assert_eq!(store.list().await.unwrap().locks.len(), 2);
    // Its pull request finds it, too.
    let own = store.unlock_if_owned_by_pull(&old.project, "default", 3).await.unwrap();
    assert_eq!(own, None);
    let shown = LockerClient::new(Arc::new(store.clone()), Arc::new(TokioClock::new()));
    for lock in [new, old] {
        assert_eq!(shown.list().await.unwrap().len(), 1);
        assert_eq!(shown.unlock(&key.to_string()).await.unwrap(), Some(lock));
    }
    assert_eq!(server.command(&["DBSIZE"]).await, "0");
}

#[tokio::test]
async fn failed_key_migration_is_a_warning() {
    // The user may not scan keys, and Atlantis starts all the same.
    let setup = Setup::new().with("user", "alice on >hunter2 ~* &* +@all -scan");
    let server = RedisServer::start_with(setup).await;
    let url = server.url().replace("redis://", "redis://alice:hunter2@");
    let store = AtlantisRedis::connect(ServerConfig::parse(&url).unwrap()).await.unwrap();
    assert!(store.try_lock(lock("owner/repo", "path", "default", 1)).await.unwrap().0);
}

#[tokio::test]
async fn keys_of_others_are_skipped_and_reported() {
    let server = RedisServer::start().await;
    for command in [
        &["RPUSH", "rails::cache::items", "x"][..],
        &["SET", "rails::cache::7", "x"],
        &["HSET", "a::b::7", "field", "x"],
    ] {
        server.command(command).await;
    }
    let (store, target) = (store(&server).await, adapter());
    let held = lock("owner/repo", "path", "default", 1);
    store.try_lock(held.clone()).await.unwrap();
    let plan = ProjectResult::new("default", ".", CommandName::Plan, Outcome::Success);
    store.update_pull_with_results(&held.pull, &[plan]).await.unwrap();
    let report = Migration::new(&store, &target).run().await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.moved.len(), report.foreign.len()), (2, 3), "{report}");
    assert!(report.to_string().contains("rails::cache::items"), "{report}");
    let mirror = Arc::new(adapter());
    let opened = Fallback::open(Arc::new(store), mirror, FallbackConfig::new()).await;
    assert!(opened.is_ok(), "{opened:?}");
    // A damaged value of ours is not a foreign key.
    server.command(&["SET", "github.com::owner/repo::8", "x"]).await;
    let records = self::store(&server).await.records().await.unwrap();
    assert_eq!((records.damaged.len(), records.foreign.len()), (1, 3));
}

/// The largest sizes that hosts allow, and more, beyond what fits into a lease.
fn large() -> [ProjectLock; 2] {
    let mut described = lock("owner/repo", "described", "default", 1);
    described.pull.body = Some("x".repeat(1_048_576));
    [described, lock("owner/repo", &"long/".repeat(400), "default", 1)]
}

#[tokio::test]
async fn large_locks_fit_in_the_layout_of_atlantis() {
    let server = RedisServer::start().await;
    let store = store(&server).await;
    let mut escaped = lock("owner/repo", "escaped", "default", 1);
    escaped.pull.body = Some("<".repeat(200_000));
    for lock in large().into_iter().chain([escaped]) {
        assert_eq!(store.try_lock(lock.clone()).await.unwrap(), (true, lock.clone()));
        assert_eq!(store.unlock(&lock.project, "default").await.unwrap(), Some(lock));
    }
}

#[tokio::test]
async fn locks_that_are_too_large_for_a_lease_are_refused_in_the_legacy_words() {
    let store = adapter();
    for lock in large() {
        let error = store.try_lock(lock.clone()).await.unwrap_err();
        assert!(matches!(error, LegacyError::Invalid(_)) && !error.is_unknown(), "{error:?}");
        assert!(error.to_string().starts_with("db transaction failed: "), "{error}");
        assert!(store.list().await.unwrap().locks.is_empty());
        assert_eq!(store.get_lock(&lock.project, "default").await.unwrap(), None);
    }
}

#[tokio::test]
async fn user_with_only_atlantis_permissions_fails_at_connect() {
    let commands = "+get +set +del +scan +ping +client +hello +select +echo";
    for (more, is_enough) in [
        ("", false),
        ("+eval +evalsha +script", false),
        ("+eval +evalsha +script +mget +type", true),
    ] {
        let user = format!("alice on >hunter2 ~* &* {commands} {more}");
        let server = RedisServer::start_with(Setup::new().with("user", &user)).await;
        let url = server.url().replace("redis://", "redis://alice:hunter2@");
        let connected = AtlantisRedis::connect(ServerConfig::parse(&url).unwrap()).await;
        match connected {
            Ok(store) => {
                assert!(is_enough, "{user}");
                let held = lock("owner/repo", "path", "default", 1);
                assert!(store.try_lock(held.clone()).await.unwrap().0);
                assert_eq!(store.list().await.unwrap().locks, std::slice::from_ref(&held));
                assert_eq!(store.unlock(&held.project, "default").await.unwrap(), Some(held));
            }
            Err(error) => {
                assert!(!is_enough && !error.is_unknown(), "{user}: {error:?}");
                let cause = error.source().unwrap().to_string();
                assert!(cause.contains("permission"), "{cause}");
            }
        }
    }
}

#[tokio::test]
async fn lock_for_which_there_is_no_memory_did_certainly_not_happen() {
    let setup = Setup::new().with("maxmemory-policy", "noeviction");
    let server = RedisServer::start_with(setup).await;
    let store = store(&server).await;
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "1"]).await, "OK");
    let held = lock("owner/repo", "path", "default", 1);
    let error = store.try_lock(held.clone()).await.unwrap_err();
    assert!(matches!(error, LegacyError::Store { unknown: false, .. }), "{error:?}");
    assert_eq!(server.command(&["DBSIZE"]).await, "0");
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "0"]).await, "OK");
    assert!(store.try_lock(held).await.unwrap().0);
}

/// An Atlantis that reads before we lock and writes afterwards.
#[tokio::test]
async fn lock_that_an_atlantis_overwrote_is_seen_by_reading_back() {
    let server = RedisServer::start().await;
    let [ours, theirs] = [1, 2].map(|num| lock("owner/repo", "path", "default", num));
    let key = format!("pr/{}", LegacyKey::of(&ours));
    let proxy = Proxy::start(server.addr()).await;
    let store = AtlantisRedis::connect(ServerConfig::parse(&proxy.url()).unwrap()).await.unwrap();
    let store = store.reading_back(Duration::from_millis(300));
    let attempt = tokio::spawn({
        let (store, ours) = (store.clone(), ours.clone());
        async move { store.try_lock(ours).await.unwrap() }
    });
    while server.command(&["EXISTS", &key]).await == "0" {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.command(&["SET", &key, &text(&theirs)]).await, "OK");
    assert_eq!(attempt.await.unwrap(), (false, theirs.clone()));
    // Nothing blocks the next attempt.
    store.unlock(&ours.project, "default").await.unwrap();
    assert_eq!(store.try_lock(ours.clone()).await.unwrap(), (true, ours));
}

/// Commands that the server has not yet read from an abandoned connection take no effect.
#[tokio::test]
async fn new_connection_ends_the_last() {
    let server = RedisServer::start().await;
    let hasty = config(&server).with_timeout(Duration::from_secs(1));
    let store = AtlantisRedis::connect(hasty).await.unwrap();
    let held = lock("owner/repo", "path", "default", 1);
    server.pause().await;
    assert!(store.try_lock(held.clone()).await.unwrap_err().is_unknown());
    server.resume();
    // On a machine that is busy, the first answer may be late as well.
    let look = async || loop {
        if let Ok(found) = store.get_lock(&held.project, "default").await {
            return found;
        }
    };
    let before = look().await;
    let stats = server.command(&["INFO", "commandstats"]).await;
    assert!(stats.contains("client|kill:calls="), "{stats}");
    for _ in 0..20 {
        assert_eq!(look().await, before, "a call that was given up took effect later");
    }
}
