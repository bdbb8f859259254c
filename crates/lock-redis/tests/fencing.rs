//! A key that checks fencing tokens: a holder that was paused beyond its lease does no harm.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::time::Duration;

use lock_core::{FencingToken, LockManager, OwnerId};
use lock_redis::redis::{AsyncCommands, Client};
use lock_redis::{RedisBackend, RedisConfig, fencing};
use lock_testkit_redis::server::RedisServer;
use tokio::runtime::{Builder, Runtime};

/// A process of its own: while its runtime is not driven, it is paused and renews nothing.
fn process(url: &str, owner: &str) -> (Runtime, LockManager) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let config = RedisConfig::parse(url).unwrap();
    let store = runtime.block_on(RedisBackend::connect(config)).unwrap();
    let manager = LockManager::new(store, OwnerId::parse(owner).unwrap());
    let manager = manager.with_runtime(runtime.handle().clone());
    (runtime, manager)
}

#[test]
fn key_refuses_a_paused_holder() {
    let server = Builder::new_current_thread().enable_all().build().unwrap();
    let redis = server.block_on(RedisServer::start());
    let ((paused, alice), (running, bob)) =
        (process(&redis.url(), "alice"), process(&redis.url(), "bob"));
    let client = Client::open(redis.url()).unwrap();
    let mut connection = server.block_on(client.get_multiplexed_async_connection()).unwrap();
    let mut write = |token: FencingToken, value: &str| {
        server.block_on(async {
            let _: () = connection.set("unfenced", value).await.unwrap();
            fencing::set(&mut connection, "fenced", token, value).await.unwrap()
        })
    };

    let request = alice.acquire("key").ttl(Duration::from_millis(100));
    let late = paused.block_on(request.into_future()).unwrap();
    assert!(write(late.token(), "alice"));
    assert!(write(late.token(), "alice, again"), "the same token writes again");
    // Bob holds only when the lease of alice is over.
    let held = running.block_on(bob.acquire("key").into_future()).unwrap();
    assert!(write(held.token(), "bob"));
    // She goes on without a look at her guard.
    assert!(!write(late.token(), "alice, late"));

    server.block_on(async {
        let fenced: String = connection.hget("fenced", "value").await.unwrap();
        let unfenced: String = connection.get("unfenced").await.unwrap();
        assert_eq!(fenced, "bob");
        assert_eq!(unfenced, "alice, late", "without the check it does harm");
        let highest = FencingToken::MAX;
        let below = FencingToken::new(highest.get() - 1).unwrap();
        assert!(fencing::set(&mut connection, "edge", highest, "x").await.unwrap());
        assert!(!fencing::set(&mut connection, "edge", below, "y").await.unwrap());
    });
    running.block_on(held.release()).unwrap();
}
