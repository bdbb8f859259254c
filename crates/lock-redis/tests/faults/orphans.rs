//! Requests abandoned while the server or the line hangs: nothing of them stays.

use lock_core::{CancelRequest, Cancellation, InspectQuery, LockBackend, LockInspector};
use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::RedisServer;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::hammer::Dice;
use crate::scene::{
    PATIENCE, ask, hasty, key, manager, millis, queue, secs, until, until_clean, within,
};

#[tokio::test]
async fn request_that_arrives_after_its_cancel_does_nothing() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.addr()).await;
    let alice = hasty(&proxy.url(), "alice", millis(100)).await;
    // Commands sent now arrive late, though their connection was closed long before.
    let late = millis(1500);
    proxy.delay(late);
    let request = queue("alice", "key");
    let sent = Instant::now();
    for attempt in 0..3 {
        let failed = alice.acquire(&request).await.unwrap_err();
        // The first was sent; then the line may be given up already.
        assert!(failed.is_unknown() || attempt > 0, "{failed:?}");
    }
    proxy.delay(millis(0));
    let ended = CancelRequest::new(request.key.clone(), request.id);
    let mut answer = None;
    until("the connection is rebuilt", async || {
        answer = alice.cancel(&ended).await.ok().map(|answer| answer.value);
        answer.is_some()
    })
    .await;
    assert_eq!(answer, Some(Cancellation::Absent));
    assert!(sent.elapsed() < late, "the cancel came first");
    sleep_until(sent + late + millis(500)).await;
    let seen = alice.inspect(&InspectQuery::new(key("key"))).await.unwrap().value;
    assert_eq!((seen.holders, seen.waiting), (0, 0), "{seen:?}");
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn request_dropped_while_the_server_hangs_leaves_nothing() {
    let server = RedisServer::start().await;
    let alice = hasty(&server.url(), "alice", millis(50)).await;
    let mut dice = Dice::new(7);
    for round in 0..8 {
        let request = if round % 2 == 0 { queue("alice", "key") } else { ask("alice", "key") };
        until("it is well", async || alice.inspect(&InspectQuery::new(key("key"))).await.is_ok())
            .await;
        server.pause().await;
        let _ = timeout(dice.millis(0..40), alice.acquire(&request)).await;
        // Three in a row give the connection up, at some point of a rebuild the server goes on.
        let mut silent = dice.below(5);
        while silent > 0 {
            let _ = alice.inspect(&InspectQuery::new(key("key"))).await;
            silent -= 1;
        }
        sleep(dice.millis(0..30)).await;
        server.resume();
        let ended = CancelRequest::new(request.key.clone(), request.id);
        until("it is cancelled", async || alice.cancel(&ended).await.is_ok()).await;
        until_clean(&server, &["key"]).await;
        let seen = alice.inspect(&InspectQuery::new(key("key"))).await.unwrap().value;
        assert_eq!((seen.holders, seen.waiting), (0, 0), "round {round}: {seen:?}");
    }
}

#[tokio::test]
async fn future_dropped_at_any_time_is_cancelled_in_the_background() {
    let server = RedisServer::start().await;
    let alice = manager(&server.url(), "alice").await;
    let mut dice = Dice::new(11);
    for round in 0..30 {
        let is_paused = round % 5 == 0;
        if is_paused {
            server.pause().await;
        }
        let asked = alice.acquire("key").ttl(secs(600)).into_future();
        drop(timeout(dice.micros(0..3000), asked).await);
        if is_paused {
            sleep(dice.millis(0..50)).await;
            server.resume();
        }
    }
    within("all are seen off", PATIENCE, alice.shutdown()).await;
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn waiter_dropped_in_a_gap_gives_back_what_it_was_granted() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.addr()).await;
    let alice = manager(&server.url(), "alice").await;
    let bob = manager(&proxy.url(), "bob").await;
    let held = alice.acquire("key").await.unwrap();
    let next = crate::scene::waiter(&bob, "key", secs(600), secs(600)).await;
    proxy.refuse();
    proxy.cut();
    proxy.until_connections(0).await;
    held.release().await.unwrap();
    next.abort();
    assert!(next.await.unwrap_err().is_cancelled());
    assert_eq!(alice.inspect("key").await.unwrap().value.holders, 1);
    proxy.heal();
    until_clean(&server, &["key"]).await;
}
