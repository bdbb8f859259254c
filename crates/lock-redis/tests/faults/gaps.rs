//! Connections that break during a wait, so that the notice of a grant may be lost.

use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::RedisServer;

use lock_core::{InspectQuery, LockInspector};

use crate::scene::{hang_up, key, manager, secs, store, until, until_clean, waiter, within};

#[tokio::test]
async fn waiter_whose_connection_is_killed_is_granted_within_moments() {
    let server = RedisServer::start().await;
    let alice = manager(&server.url(), "alice").await;
    let bob = manager(&server.url(), "bob").await;
    for _ in 0..10 {
        let held = alice.acquire("key").await.unwrap();
        // It would not ask again by itself for 20 seconds.
        let next = waiter(&bob, "key", secs(30), secs(60)).await;
        hang_up(&server, "bob").await;
        held.release().await.unwrap();
        let next = within("it is told", secs(5), next).await.unwrap().unwrap();
        next.release().await.unwrap();
    }
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn grant_in_a_gap_of_the_connection_is_found() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.addr()).await;
    let alice = manager(&server.url(), "alice").await;
    let bob = manager(&proxy.url(), "bob").await;
    let held = alice.acquire("key").await.unwrap();
    let next = waiter(&bob, "key", secs(30), secs(60)).await;
    proxy.refuse();
    proxy.cut();
    proxy.until_connections(0).await;
    held.release().await.unwrap();
    let granted = alice.inspect("key").await.unwrap().value.leases.remove(0);
    assert_eq!(granted.owner.as_str(), "bob");
    assert!(!next.is_finished());
    proxy.heal();
    let next = within("it finds its lease", secs(5), next).await.unwrap().unwrap();
    assert_eq!(next.token(), granted.token);
    next.release().await.unwrap();
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn broken_connection_is_not_tried_again_before_it_is_rebuilt() {
    let server = RedisServer::start().await;
    let alice = store(&server.url(), "alice").await;
    for _ in 0..20 {
        hang_up(&server, "alice").await;
        let mut failures = 0;
        // Nothing in this loop lets others run but the store.
        while let Err(error) = alice.inspect(&InspectQuery::new(key("key"))).await {
            failures += 1;
            assert!(failures < 5, "{error:?}");
        }
    }
}

#[tokio::test]
async fn subscription_renewed_by_another_call_lets_waiters_ask() {
    let server = RedisServer::start().await;
    let alice = manager(&server.url(), "alice").await;
    let bob = manager(&server.url(), "bob").await;
    let held = alice.acquire("key").await.unwrap();
    let next = waiter(&bob, "key", secs(30), secs(60)).await;
    hang_up(&server, "bob").await;
    let back = async || !crate::scene::connections(&server, "bob").await.is_empty();
    until("it is back", back).await;
    hang_up(&server, "bob").await;
    held.release().await.unwrap();
    let next = within("it is told", secs(5), next).await.unwrap().unwrap();
    next.release().await.unwrap();
    until_clean(&server, &["key"]).await;
}
