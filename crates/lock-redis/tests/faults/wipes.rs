//! What the server may be told to forget: its scripts, and everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lock_core::{
    Acquisition, CancelRequest, Cancellation, EvictRequest, ListQuery, LockBackend, LockInspector,
    LossReason, Reason, Release, ReleaseRequest, RenewRequest, Renewal, RequestId, Transfer,
    TransferRequest, TransferTo, Ttl, WaitRequest, Wake,
};
use lock_testkit::client::Client;
use lock_testkit::server::RedisServer;

use crate::scene::{
    BY_FUNCTIONS, BY_SCRIPTS, PATIENCE, ask, key, manager, millis, owner, queue, secs, store,
    until, until_clean, url_of, users, waiter, within,
};

#[tokio::test]
async fn scripts_that_are_forgotten_between_operations_are_loaded_again() {
    for user in [BY_FUNCTIONS, BY_SCRIPTS] {
        let server = RedisServer::start_with(users()).await;
        forget_between_operations(&server, &url_of(user, server.addr())).await;
    }
}

/// Makes the server forget its scripts.
async fn forget(server: &mut Client) {
    let functions = RedisServer::has_functions().then_some("FUNCTION");
    for kind in ["SCRIPT"].into_iter().chain(functions) {
        assert_eq!(server.command(&[kind, "FLUSH"]).await.unwrap(), "OK");
    }
}

async fn forget_between_operations(server: &RedisServer, url: &str) {
    let alice = store(url, "alice").await;
    let flush = async || forget(&mut server.client().await.unwrap()).await;
    let (first, second, third) = (ask("alice", "key"), queue("bob", "key"), queue("carol", "key"));
    flush().await;
    assert!(matches!(alice.acquire(&first).await.unwrap(), Acquisition::Granted(_)));
    for waiting in [&second, &third] {
        flush().await;
        assert!(matches!(alice.acquire(waiting).await.unwrap(), Acquisition::Queued(_)));
    }
    flush().await;
    let renewals = [RenewRequest::new(key("key"), first.request, Ttl::default())];
    assert!(matches!(alice.renew(&renewals).await[..], [Ok(Renewal::Renewed(_))]));
    flush().await;
    assert_eq!(alice.inspect(&key("key")).await.unwrap().waiting, 2);
    flush().await;
    assert_eq!(alice.list(&ListQuery::all()).await.unwrap().leases.len(), 1);
    flush().await;
    assert_eq!(alice.waits_of(&owner("bob")).await.unwrap().len(), 1);
    flush().await;
    // Another process, which does not know that the request waits.
    let other = store(url, "other").await;
    flush().await;
    let awaited = WaitRequest::new(key("key"), second.request, millis(100));
    assert_eq!(other.wait(&awaited).await.unwrap(), Wake::AskAgain);
    flush().await;
    let given = TransferTo::Waiter(second.request);
    let given = TransferRequest::new(key("key"), first.request, given);
    assert!(matches!(alice.transfer(&given).await.unwrap(), Transfer::Transferred(_)));
    flush().await;
    let stuck = Reason::parse("stuck").unwrap();
    let evicted = EvictRequest::new(key("key"), owner("alice"), stuck).only(second.request);
    assert_eq!(alice.evict(&evicted).await.unwrap().leases.len(), 1);
    flush().await;
    let held = ReleaseRequest::new(key("key"), third.request);
    assert_eq!(alice.release(&held).await.unwrap(), Release::Released);
    flush().await;
    let ended = CancelRequest::new(key("key"), third.request);
    assert_eq!(alice.cancel(&ended).await.unwrap(), Cancellation::Absent);
    until_clean(server, &["key"]).await;
}

#[tokio::test]
async fn scripts_that_are_forgotten_all_the_time_cost_certain_errors_only() {
    for user in [BY_FUNCTIONS, BY_SCRIPTS] {
        forget_all_the_time(user).await;
    }
}

async fn forget_all_the_time(user: &str) {
    let server = Arc::new(RedisServer::start_with(users()).await);
    let alice = store(&url_of(user, server.addr()), "alice").await;
    let is_over = Arc::new(AtomicBool::new(false));
    let flushing = tokio::spawn({
        let (server, is_over) = (Arc::clone(&server), Arc::clone(&is_over));
        async move {
            let mut client = server.client().await.unwrap();
            while !is_over.load(Ordering::Relaxed) {
                forget(&mut client).await;
                // To load them all takes some time.
                tokio::time::sleep(millis(5)).await;
            }
        }
    });
    let mut done = 0;
    until("enough was done", async || {
        let asked = ask("alice", "key");
        match alice.acquire(&asked).await {
            Ok(Acquisition::Granted(_)) => {
                let held = ReleaseRequest::new(key("key"), asked.request);
                until("it is released", async || match alice.release(&held).await {
                    Ok(released) => released == Release::Released,
                    Err(error) => {
                        assert!(!error.is_unknown() && error.is_retryable(), "{error:?}");
                        false
                    }
                })
                .await;
                done += 1;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert!(!error.is_unknown() && error.is_retryable(), "{error:?}"),
        }
        done == 50
    })
    .await;
    is_over.store(true, Ordering::Relaxed);
    flushing.await.unwrap();
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn wiped_store_fences_who_held_and_lets_in_who_waited() {
    let server = RedisServer::start().await;
    let url = server.url();
    let (alice, bob) = (manager(&url, "alice").await, manager(&url, "bob").await);
    let carol = manager(&url, "carol").await;
    let looking = store(&url, "looking").await;
    let held = alice.acquire("key").ttl(secs(3)).await.unwrap();
    let second = waiter(&bob, "key", secs(3), secs(3)).await;
    let third = waiter(&carol, "key", secs(3), secs(3)).await;
    assert_eq!(server.command(&["FLUSHALL"]).await, "OK");
    let once = async || {
        let seen = looking.inspect(&key("key")).await.unwrap();
        assert!(seen.holders <= 1, "{seen:?}");
    };
    let mut tokens = vec![held.token()];
    // Its next renewal tells, long before the lease would have ended.
    let told = within("it is told", millis(2500), async {
        loop {
            once().await;
            if let Ok(reason) = tokio::time::timeout(millis(5), held.lost()).await {
                return reason;
            }
        }
    });
    assert_eq!(told.await, LossReason::NotHeld);
    // They come in again in any order.
    let (sender, mut granted) = tokio::sync::mpsc::unbounded_channel();
    for next in [second, third] {
        let sender = sender.clone();
        tokio::spawn(async move { sender.send(next.await.unwrap().unwrap()) });
    }
    for _ in 0..2 {
        let next = within("it comes in", PATIENCE, granted.recv()).await.unwrap();
        once().await;
        tokens.push(next.token());
        next.release().await.unwrap();
    }
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
    until_clean(&server, &["key"]).await;
    let _ = held.release().await.unwrap_err();
    let unknown = CancelRequest::new(key("key"), RequestId::random());
    assert_eq!(looking.cancel(&unknown).await.unwrap(), Cancellation::Absent);
}
