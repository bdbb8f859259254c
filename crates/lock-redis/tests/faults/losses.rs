//! Stores that lose everything: holders learn of their loss before the next grant.

use lock_core::{
    Acquisition, InspectQuery, LockBackend, LockInspector, LossReason, MailboxId, Notice,
};
use lock_testkit_redis::server::RedisServer;
use tokio::time::Instant;

use crate::scene::{ask, key, manager, millis, secs, store, until, until_clean, waiter, within};

#[tokio::test]
async fn wiped_store_grants_nothing_and_notifies_everyone() {
    let server = RedisServer::start().await;
    let (alice, bob) = (store(&server.url(), "alice").await, store(&server.url(), "bob").await);
    let mut told = Vec::new();
    for store in [&alice, &bob] {
        told.push(store.listen(MailboxId::random()).await.unwrap());
    }
    for request in [ask("alice", "key"), crate::scene::queue("alice", "key")] {
        assert_eq!(server.command(&["FLUSHALL"]).await, "OK");
        let error = alice.acquire(&request).await.unwrap_err();
        assert!(error.is_retryable() && !error.is_unknown(), "{error:?}");
        for notices in &mut told {
            let next = std::future::poll_fn(|cx| notices.as_mut().poll_next(cx));
            let next = within("all are told", millis(100), next).await;
            assert_eq!(next, Some(Notice::MayHaveMissed));
        }
        let seen = bob.inspect(&InspectQuery::new(key("key"))).await.unwrap().value;
        assert_eq!((seen.holders, seen.waiting), (0, 0));
        // Both are whole again.
        assert_eq!(server.command(&["GET", "{lock:0}:layout"]).await, "1");
        let again = alice.acquire(&request).await.unwrap().value;
        assert!(matches!(again, Acquisition::Granted(_)), "{again:?}");
    }
}

#[tokio::test]
async fn holder_of_the_same_process_learns_of_its_loss_before_the_next_grant() {
    for is_restarted in [false, true] {
        let server = RedisServer::start().await;
        let alice = manager(&server.url(), "alice").await;
        let held = alice.acquire("key").ttl(secs(30)).await.unwrap();
        let next = waiter(&alice, "key", secs(30), secs(30)).await;
        lose_all(&server, is_restarted).await;
        // Somebody asks for something else, and finds that the store is empty.
        let other = within("it heals", secs(5), alice.acquire("other")).await.unwrap();
        let next = within("the next proceeds", secs(5), next).await.unwrap().unwrap();
        assert!(held.is_lost(), "restarted: {is_restarted}");
        assert_eq!(held.lost().await, LossReason::NotHeld);
        assert!(next.token() > held.token());
        other.release().await.unwrap();
        next.release().await.unwrap();
        until_clean(&server, &["key", "other"]).await;
    }
}

async fn lose_all(server: &RedisServer, is_restarted: bool) {
    if is_restarted {
        server.restart().await;
    } else {
        assert_eq!(server.command(&["FLUSHALL"]).await, "OK");
    }
}

#[tokio::test]
async fn holders_of_other_processes_learn_of_their_loss_within_a_tenth_of_a_second() {
    for is_restarted in [false, true] {
        let server = RedisServer::start().await;
        let (alice, bob) =
            (manager(&server.url(), "alice").await, manager(&server.url(), "bob").await);
        let held = alice.acquire("key").ttl(secs(30)).await.unwrap();
        let next = waiter(&bob, "key", secs(30), secs(30)).await;
        lose_all(&server, is_restarted).await;
        let other = within("it heals", secs(5), bob.acquire("other")).await.unwrap();
        let next = within("the next proceeds", secs(5), next).await.unwrap().unwrap();
        let granted_at = Instant::now();
        until("it is told", async || held.is_lost()).await;
        let late = granted_at.elapsed();
        assert!(late <= millis(100), "told after {late:?}, restarted: {is_restarted}");
        other.release().await.unwrap();
        next.release().await.unwrap();
        until_clean(&server, &["key", "other"]).await;
    }
}
