//! Notices on real connections: the effect of a broken one, and the cost of a mailbox.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::future::poll_fn;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, ErrorKind, HearRequest, Heard, KeepAlive, LeaseName, LockBackend,
    LockKey, MailboxId, Notice, NoticeStream, OwnerId, ReleaseRequest, RequestId,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::RedisServer;

const PATIENCE: Duration = Duration::from_secs(20);

async fn store(url: &str) -> RedisBackend {
    RedisBackend::connect(RedisConfig::parse(url).unwrap()).await.expect("the server is up")
}

async fn next(notices: &mut NoticeStream) -> Option<Notice> {
    let next = poll_fn(|cx| notices.as_mut().poll_next(cx));
    tokio::time::timeout(PATIENCE, next).await.expect("a notice comes")
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let holds = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, holds).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

fn request(mailbox: MailboxId) -> AcquireRequest {
    let (key, owner) = (LockKey::parse("key").unwrap(), OwnerId::parse("alice").unwrap());
    AcquireRequest::new(RequestId::random(), key, owner)
        .with_mailbox(mailbox)
        .queueing(KeepAlive::default())
}

async fn granted(store: &RedisBackend, request: &AcquireRequest) -> LeaseName {
    match store.acquire(request).await.unwrap().value {
        Acquisition::Granted(lease) => lease.name(),
        other => panic!("{request:?} is granted, and not answered {other:?}"),
    }
}

/// A grant to a waiter with this mailbox.
async fn hand_over(holder: &RedisBackend, waiter: &RedisBackend, mailbox: MailboxId) -> RequestId {
    let held = granted(holder, &request(mailbox)).await;
    let waiting = request(mailbox);
    assert!(matches!(waiter.acquire(&waiting).await.unwrap().value, Acquisition::Queued(_)));
    let _ = holder.release(&ReleaseRequest::new(held)).await.unwrap();
    waiting.id
}

async fn give_back(store: &RedisBackend, waiter: RequestId) {
    let hear = HearRequest::new(LockKey::parse("key").unwrap(), waiter);
    let heard = store.hear(&[hear]).await.remove(0).unwrap();
    let Heard::Granted(lease) = heard.value else { panic!("it holds: {heard:?}") };
    let _ = store.release(&ReleaseRequest::new(lease.name())).await.unwrap();
}

async fn assert_told(notices: &mut NoticeStream, waiter: RequestId) {
    match next(notices).await {
        Some(Notice::Granted(grant)) => assert_eq!(grant.request, waiter),
        other => panic!("a grant is told, and not {other:?}"),
    }
}

#[tokio::test]
async fn either_connection_that_breaks_may_have_lost_notices() {
    let server = RedisServer::start().await;
    for kind in ["pubsub", "normal"] {
        let store = store(&server.url()).await;
        let mailbox = MailboxId::random();
        let mut notices = store.listen(mailbox).await.unwrap();
        let mut other = store.listen(MailboxId::random()).await.unwrap();
        for _ in 0..3 {
            server.command(&["CLIENT", "KILL", "TYPE", kind]).await;
            assert_eq!(next(&mut notices).await, Some(Notice::MayHaveMissed), "{kind}");
            assert_eq!(next(&mut other).await, Some(Notice::MayHaveMissed), "{kind}");
            // From then on nothing is lost.
            let waiter = hand_over(&store, &store, mailbox).await;
            assert_told(&mut notices, waiter).await;
            give_back(&store, waiter).await;
        }
    }
}

#[tokio::test]
async fn grant_in_a_gap_is_announced_and_found() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.addr()).await;
    let (alice, bob) = (store(&server.url()).await, store(&proxy.url()).await);
    let mailbox = MailboxId::random();
    let mut notices = bob.listen(mailbox).await.unwrap();
    let held = granted(&alice, &request(mailbox)).await;
    let waiting = request(mailbox);
    assert!(matches!(bob.acquire(&waiting).await.unwrap().value, Acquisition::Queued(_)));
    proxy.refuse();
    proxy.cut();
    proxy.until_connections(0).await;
    let _ = alice.release(&ReleaseRequest::new(held)).await.unwrap();
    proxy.heal();
    assert_eq!(next(&mut notices).await, Some(Notice::MayHaveMissed));
    give_back(&bob, waiting.id).await;
}

#[tokio::test]
async fn silent_line_of_the_mailboxes_is_made_anew() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.addr()).await;
    let store = store(&proxy.url()).await;
    let mut notices = store.listen(MailboxId::random()).await.unwrap();
    // Nobody sends a command, so only the line itself can notice.
    proxy.half_open();
    assert_eq!(next(&mut notices).await, Some(Notice::MayHaveMissed));
}

#[tokio::test]
async fn mailbox_that_is_opened_again_ends_the_earlier_stream() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let mailbox = MailboxId::random();
    let mut first = store.listen(mailbox).await.unwrap();
    let mut second = store.listen(mailbox).await.unwrap();
    assert_eq!(next(&mut first).await, None);
    drop(first);
    let waiter = hand_over(&store, &store, mailbox).await;
    assert_told(&mut second, waiter).await;
}

#[tokio::test]
async fn mailboxes_share_one_connection_and_leave_the_server_when_they_close() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let channels = async || {
        let listed = server.command(&["PUBSUB", "CHANNELS"]).await;
        listed.matches(":mailbox:").count()
    };
    let clients = async || server.info("connected_clients").await.unwrap().parse::<u64>().unwrap();
    let before = clients().await;
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(store.listen(MailboxId::random()).await.unwrap());
    }
    assert_eq!((channels().await, clients().await), (20, before + 1));
    open.truncate(5);
    until("the channels are left", async || channels().await == 5).await;
    // Closed and opened again immediately, it still receives notices.
    let mailbox = MailboxId::random();
    for _ in 0..50 {
        drop(store.listen(mailbox).await.unwrap());
        let mut notices = store.listen(mailbox).await.unwrap();
        let waiter = hand_over(&store, &store, mailbox).await;
        assert_told(&mut notices, waiter).await;
        give_back(&store, waiter).await;
    }
    drop((open, store));
    until("the connections end", async || clients().await == before - 1).await;
}

#[tokio::test]
async fn listening_ends_in_time_when_the_server_is_gone() {
    let server = RedisServer::start().await;
    let config = RedisConfig::parse(&server.url()).unwrap();
    let config = config.with_timeout(Duration::from_millis(200));
    let store = RedisBackend::connect(config).await.unwrap();
    server.kill().await;
    let Err(error) = store.listen(MailboxId::random()).await else { panic!("the server is gone") };
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false), "{error:?}");
    assert_eq!(error.server(), Some(server.addr().to_string().as_str()));
    server.restart().await;
    let mailbox = MailboxId::random();
    until("it heals", async || store.listen(mailbox).await.is_ok()).await;
}
