//! Latency of batched and single commands on a failing connection.

use lock_core::{InspectQuery, LockBackend, LockInspector};
use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::RedisServer;
use tokio::time::{Instant, sleep, timeout};

use crate::scene::{
    BY_FUNCTIONS, BY_SCRIPTS, ask, hasty, key, millis, secs, until, url_of, users, within,
};

/// Marker of the requests of this test.
const SENT: &[u8] = b":state:limit";

#[tokio::test]
async fn batch_that_waited_for_a_connection_fails_no_later_than_a_single() {
    let server = RedisServer::start_with(users()).await;
    let proxy = Proxy::start(server.addr()).await;
    let store = hasty(&url_of(BY_SCRIPTS, proxy.addr()), "alice", secs(3)).await;
    let (query, request) = (InspectQuery::new(key("limit-single")), ask("alice", "limit-batched"));
    proxy.refuse();
    proxy.cut();
    // A command that neither fails immediately nor is answered waits for a connection.
    let waits = async || timeout(millis(50), store.inspect(&query)).await.is_err();
    until("the connection is known to be lost", waits).await;
    let began = Instant::now();
    let single = async { (store.inspect(&query).await.map(drop).unwrap_err(), began.elapsed()) };
    let batched = async { (store.acquire(&request).await.map(drop).unwrap_err(), began.elapsed()) };
    let outage = async {
        sleep(secs(1)).await;
        proxy.heal();
        proxy.lose_replies_to(SENT);
    };
    let (single, batched, ()) = tokio::join!(single, batched, outage);
    assert_eq!(proxy.requests_containing(SENT), 2, "both were sent");
    assert!(single.0.is_unknown() && batched.0.is_unknown(), "{single:?}, {batched:?}");
    assert!(batched.1 < single.1 + millis(500), "{:?} after {:?}", batched.1, single.1);
}

#[tokio::test]
async fn line_is_doubted_when_the_caller_of_a_batch_is_gone_as_after_a_single() {
    let server = RedisServer::start_with(users()).await;
    let mut took = Vec::new();
    for user in [BY_FUNCTIONS, BY_SCRIPTS] {
        let proxy = Proxy::start(server.addr()).await;
        let store = hasty(&url_of(user, proxy.addr()), "alice", secs(2)).await;
        let connections = proxy.accepted();
        proxy.lose_replies_to(SENT);
        let request = ask("alice", "limit");
        tokio::select! {
            answer = store.acquire(&request) => panic!("its reply is lost: {answer:?}"),
            () = proxy.until_requests(SENT, 1) => {}
        }
        let began = Instant::now();
        proxy.until_accepted(connections + 1).await;
        took.push(began.elapsed());
        let next = ask("alice", "next");
        let _ = within("the next is sent", secs(1), store.acquire(&next)).await.unwrap();
    }
    assert!(took[1] < took[0] + millis(500), "the connection is rebuilt after {took:?}");
}
