//! Servers that are killed, come back, or hang.

use lock_core::{Acquisition, CancelRequest, Cancellation, ErrorKind, LockBackend, LossReason};
use lock_testkit_redis::server::{RedisServer, ServerConfig};
use tokio::time::sleep;

use crate::scene::{
    Census, PATIENCE, ask, connections, hasty, key, manager, millis, secs, store, until,
    until_clean, waiter, within,
};

#[tokio::test]
async fn leases_and_places_outlive_a_server_that_is_killed() {
    let server = RedisServer::start_with(ServerConfig::new().durable()).await;
    let census = Census::default();
    let alice = manager(&server.url(), "alice").await;
    let (bob, carol) = (manager(&server.url(), "bob").await, manager(&server.url(), "carol").await);
    assert!(alice.capabilities().durable);
    let held = census.enter(alice.acquire("key").ttl(secs(6)).await.unwrap()).await;
    let second = waiter(&bob, "key", secs(6), secs(10)).await;
    let third = waiter(&carol, "key", secs(6), secs(10)).await;
    let before = alice.inspect("key").await.unwrap().value;
    server.restart().await;
    let after = within("it heals", PATIENCE, alice.inspect("key")).await.unwrap().value;
    assert_eq!((&after.leases[0].token, after.holders), (&before.leases[0].token, 1));
    let places = |seen: &lock_core::Inspection| {
        seen.waiters.items.iter().map(|it| (it.request, it.enqueued_at)).collect::<Vec<_>>()
    };
    assert_eq!(places(&after), places(&before));
    let end = held.deadline();
    until("the lease is renewed", async || held.deadline() > end).await;
    assert!(!held.is_lost());
    census.release(held).await.unwrap();
    for next in [second, third] {
        let next = within("the next proceeds", secs(5), next).await.unwrap().unwrap();
        census.release(census.enter(next).await).await.unwrap();
    }
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn holder_learns_that_the_server_lost_its_lease() {
    let server = RedisServer::start().await;
    let alice = manager(&server.url(), "alice").await;
    let bob = manager(&server.url(), "bob").await;
    let held = alice.acquire("key").ttl(secs(3)).await.unwrap();
    let next = waiter(&bob, "key", secs(3), secs(3)).await;
    server.restart().await;
    let reason = within("it is told", secs(4), held.lost()).await;
    assert!(matches!(reason, LossReason::NotHeld | LossReason::Overdue), "{reason:?}");
    let next = within("the next proceeds", secs(4), next).await.unwrap().unwrap();
    assert!(next.token() > held.token());
    assert_eq!(held.release().await.unwrap_err().kind(), ErrorKind::NotHeld);
    assert!(!next.is_lost(), "what was lost is not given back");
    next.release().await.unwrap();
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn pause_shorter_than_the_time_out_goes_unnoticed() {
    let server = RedisServer::start().await;
    let alice = store(&server.url(), "alice").await;
    let before = connections(&server, "alice").await;
    server.pause().await;
    let asked = ask("alice", "key");
    let acquired = tokio::spawn({
        let (alice, asked) = (alice.clone(), asked.clone());
        async move { alice.acquire(&asked).await }
    });
    sleep(millis(300)).await;
    server.resume();
    let acquired = within("it is answered", PATIENCE, acquired).await.unwrap().unwrap().value;
    assert!(matches!(acquired, Acquisition::Granted(_)));
    assert_eq!(connections(&server, "alice").await, before);
    let ended = CancelRequest::new(asked.key, asked.id);
    assert_eq!(alice.cancel(&ended).await.unwrap().value, Cancellation::Released);
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn pause_longer_than_the_time_out_leaves_one_effect() {
    let server = RedisServer::start().await;
    let alice = hasty(&server.url(), "alice", millis(150)).await;
    let asked = ask("alice", "key");
    server.pause().await;
    for _ in 0..2 {
        let error = alice.acquire(&asked).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, true));
        assert_eq!(error.key(), Some(&asked.key));
    }
    // The third in a row gives the connection up: then nothing is sent any more.
    until("the connection is given up", async || {
        let error = alice.acquire(&asked).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        !error.is_unknown()
    })
    .await;
    server.resume();
    let mut granted = None;
    until("it heals", async || {
        granted = alice.acquire(&asked).await.ok().map(|it| it.value);
        granted.is_some()
    })
    .await;
    let Some(Acquisition::Granted(lease)) = granted else { panic!("{granted:?}") };
    let Acquisition::Granted(again) = alice.acquire(&asked).await.unwrap().value else { panic!() };
    assert_eq!(again.token, lease.token);
    let ended = CancelRequest::new(key("key"), asked.id);
    assert_eq!(alice.cancel(&ended).await.unwrap().value, Cancellation::Released);
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn loss_is_known_before_a_server_that_hung_grants_again() {
    let server = RedisServer::start().await;
    let census = Census::default();
    let alice = manager(&server.url(), "alice").await;
    let bob = manager(&server.url(), "bob").await;
    let ttl = millis(600);
    for pause in [millis(300), millis(540), ttl, millis(700), millis(1500)] {
        let held = census.enter(alice.acquire("key").ttl(ttl).await.unwrap()).await;
        let next = waiter(&bob, "key", ttl, secs(10)).await;
        server.pause().await;
        sleep(pause).await;
        server.resume();
        if pause > ttl {
            assert!(held.is_lost(), "{pause:?}");
        }
        let told = census.release(held).await;
        assert!(told.is_ok() || told.is_err_and(|it| it.kind() != ErrorKind::InvalidInput));
        let next = within("the next proceeds", PATIENCE, next).await.unwrap().unwrap();
        let next = census.enter(next).await;
        let _ = census.release(next).await;
        until_clean(&server, &["key"]).await;
    }
}

#[tokio::test]
async fn waiter_is_granted_only_after_the_loss_is_known() {
    let server = RedisServer::start().await;
    let census = Census::default();
    let alice = manager(&server.url(), "alice").await;
    let bob = manager(&server.url(), "bob").await;
    let ttl = millis(500);
    let held = census.enter(alice.acquire("key").ttl(ttl).await.unwrap()).await;
    let next = waiter(&bob, "key", ttl, secs(10)).await;
    server.pause().await;
    assert_eq!(within("it is told", secs(1), held.lost()).await, LossReason::Overdue);
    assert!(!next.is_finished());
    sleep(ttl).await;
    server.resume();
    // The holder keeps its guard: what it believes is what counts.
    let next = within("the next proceeds", PATIENCE, next).await.unwrap().unwrap();
    let next = census.enter(next).await;
    assert_eq!(census.release(held).await.unwrap_err().kind(), ErrorKind::NotHeld);
    let seen = bob.inspect("key").await.unwrap().value;
    assert_eq!(seen.leases.iter().map(|it| it.token).collect::<Vec<_>>(), [next.token()]);
    census.release(next).await.unwrap();
    until_clean(&server, &["key"]).await;
}
