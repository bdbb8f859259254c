//! Loss of scripts, and of all data, on the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lock_core::{
    Acquisition, CancelRequest, Cancellation, EvictRequest, HearRequest, Heard, InspectQuery,
    ListQuery, LockBackend, LockInspector, LossReason, Reason, Release, ReleaseRequest,
    RenewRequest, Renewal, RequestId, Transfer, TransferRequest, TransferTo, Ttl, WaitsQuery,
};
use lock_testkit_redis::client::Client;
use lock_testkit_redis::server::RedisServer;

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
    let acquired = alice.acquire(&first).await.unwrap().value;
    let Acquisition::Granted(lease) = acquired else { panic!("{acquired:?}") };
    for waiting in [&second, &third] {
        flush().await;
        assert!(matches!(alice.acquire(waiting).await.unwrap().value, Acquisition::Queued(_)));
    }
    flush().await;
    let renewed = alice.renew(&[RenewRequest::new(lease.name(), Ttl::default())]).await.remove(0);
    assert!(matches!(renewed.unwrap().value, Renewal::Renewed { .. }));
    flush().await;
    let heard = alice.hear(&[HearRequest::new(key("key"), second.id)]).await.remove(0);
    assert!(matches!(heard.unwrap().value, Heard::Queued(_)));
    flush().await;
    let seen = alice.inspect(&InspectQuery::new(key("key"))).await.unwrap();
    assert_eq!(seen.value.waiting, 2);
    flush().await;
    assert_eq!(alice.list(&ListQuery::all()).await.unwrap().value.items.len(), 1);
    flush().await;
    assert_eq!(alice.waits_of(&WaitsQuery::new(owner("bob"))).await.unwrap().value.items.len(), 1);
    flush().await;
    let to = TransferTo::Waiter(second.id);
    let given = TransferRequest::new(lease.name(), owner("alice"), to);
    let transferred = alice.transfer(&given).await.unwrap().value;
    let Transfer::Transferred(lease) = transferred else { panic!("{transferred:?}") };
    flush().await;
    let stuck = Reason::parse("stuck").unwrap();
    let evicted = EvictRequest::lease(lease.name(), owner("alice"), stuck);
    assert_eq!(alice.evict(&evicted).await.unwrap().value.leases.len(), 1);
    let heard = alice.hear(&[HearRequest::new(key("key"), third.id)]).await.remove(0);
    let Heard::Granted(lease) = heard.unwrap().value else { panic!("it is next") };
    flush().await;
    let released = alice.release(&ReleaseRequest::new(lease.name())).await.unwrap();
    assert_eq!(released.value, Release::Released);
    flush().await;
    let ended = CancelRequest::new(key("key"), third.id);
    assert_eq!(alice.cancel(&ended).await.unwrap().value, Cancellation::Absent);
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
        match alice.acquire(&ask("alice", "key")).await.map(|answer| answer.value) {
            Ok(Acquisition::Granted(lease)) => {
                let held = ReleaseRequest::new(lease.name());
                until("it is released", async || match alice.release(&held).await {
                    Ok(released) => released.value == Release::Released,
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
async fn wiped_store_fences_holders_and_admits_waiters() {
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
        let seen = looking.inspect(&InspectQuery::new(key("key"))).await.unwrap().value;
        assert!(seen.holders <= 1, "{seen:?}");
    };
    let mut tokens = vec![held.token()];
    // Its next renewal shows the loss, long before the lease would have ended.
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
    assert_eq!(looking.cancel(&unknown).await.unwrap().value, Cancellation::Absent);
}
