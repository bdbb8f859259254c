//! Lines that go dead without a word: black holes and connections that are open on one side only.

use lock_core::{InspectQuery, LockInspector};
use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::RedisServer;

use crate::scene::{Census, PATIENCE, manager, millis, secs, until, until_clean, waiter, within};

#[tokio::test]
async fn black_hole_ends_only_the_lease_behind_it() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.addr()).await;
    let census = Census::default();
    let alice = manager(&proxy.url(), "alice").await;
    let (bob, carol) = (manager(&server.url(), "bob").await, manager(&server.url(), "carol").await);
    let held = census.enter(alice.acquire("key").ttl(secs(1)).await.unwrap()).await;
    let other = census.enter(carol.acquire("other").ttl(secs(2)).await.unwrap()).await;
    let next = waiter(&bob, "key", secs(2), secs(10)).await;
    proxy.black_hole();
    let next = within("the next proceeds", secs(5), next).await.unwrap().unwrap();
    let next = census.enter(next).await;
    assert!(held.is_lost());
    let end = other.deadline();
    until("others are renewed", async || other.deadline() > end).await;
    proxy.cut();
    proxy.heal();
    let _ = census.release(held).await.unwrap_err();
    assert!(!next.is_lost() && !other.is_lost());
    census.release(next).await.unwrap();
    census.release(other).await.unwrap();
    let again = within("it comes back", PATIENCE, alice.acquire("key")).await.unwrap();
    census.release(census.enter(again).await).await.unwrap();
    until_clean(&server, &["key", "other"]).await;
}

#[tokio::test]
async fn half_open_connection_of_a_waiter_is_rebuilt_while_its_place_lasts() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.addr()).await;
    let alice = manager(&server.url(), "alice").await;
    let bob = manager(&proxy.url(), "bob").await;
    let held = alice.acquire("key").await.unwrap();
    let next = waiter(&bob, "key", secs(30), secs(6)).await;
    let joined = alice.inspect("key").await.unwrap().value.waiters.items[0].enqueued_at;
    assert_eq!(proxy.accepted(), 2, "one for commands and one for the mailbox");
    proxy.half_open();
    within("both are rebuilt", secs(10), proxy.until_accepted(4)).await;
    let asked = proxy.requests_containing(b":state:key");
    proxy.until_requests(b":state:key", asked + 1).await;
    let seen = alice.inspect("key").await.unwrap().value.waiters.items;
    assert_eq!(seen.iter().map(|it| it.enqueued_at).collect::<Vec<_>>(), [joined]);
    held.release().await.unwrap();
    let next = within("it is told at once", secs(1), next).await.unwrap().unwrap();
    next.release().await.unwrap();
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn half_open_connection_of_a_holder_is_rebuilt_while_its_lease_lasts() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.addr()).await;
    let alice = manager(&proxy.url(), "alice").await;
    let held = alice.acquire("key").ttl(secs(6)).await.unwrap();
    let end = held.deadline();
    assert_eq!(proxy.accepted(), 2, "one for commands and one for the mailbox");
    proxy.half_open();
    within("both are rebuilt", PATIENCE, proxy.until_accepted(4)).await;
    until("it is renewed or lost", async || held.is_lost() || held.deadline() > end).await;
    assert!(!held.is_lost());
    held.release().await.unwrap();
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn connection_that_only_swallows_answers_is_rebuilt_for_callers_that_give_up_early() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.addr()).await;
    let alice = manager(&proxy.url(), "alice").await;
    proxy.half_open();
    // Each gives up long before an operation counts as unanswered.
    for _ in 0..3 {
        let asked = alice.acquire("key").wait(millis(300));
        assert!(asked.await.is_err());
    }
    // The second is that of the mailbox, which the first of them opened.
    within("it is rebuilt", secs(5), proxy.until_accepted(3)).await;
    alice.acquire("key").await.unwrap().release().await.unwrap();
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn slow_line_is_kept_however_early_its_users_give_up() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.addr()).await;
    let alice = crate::scene::store(&proxy.url(), "alice").await;
    // An answer takes 80 ms, longer than the caller waits.
    proxy.delay(millis(40));
    let query = InspectQuery::new(crate::scene::key("key"));
    for _ in 0..10 {
        let looked = tokio::time::timeout(millis(70), alice.inspect(&query)).await;
        assert!(looked.is_err(), "the line is slow: {looked:?}");
    }
    let _ = within("it answers", secs(1), alice.inspect(&query)).await.unwrap();
    assert_eq!(proxy.accepted(), 1, "the line was well");
}
