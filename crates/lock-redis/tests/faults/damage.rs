//! Keys of which something is lost or wrong: repaired where the rest allows it, and never in the way
//! of others.

use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, ErrorKind, FencingToken, HearRequest,
    Heard, InspectQuery, Lease, ListQuery, LockBackend, LockInspector, MailboxId, Mode, Notice,
    Release, ReleaseRequest, RenewRequest, Renewal, Ttl, WaitsQuery,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::server::RedisServer;

use crate::scene::{
    BY_FUNCTIONS, BY_SCRIPTS, ask, key, owner, queue, secs, store, until_clean, url_of, users,
    within,
};

async fn granted(store: &RedisBackend, request: &AcquireRequest) -> Lease {
    match store.acquire(request).await.unwrap().value {
        Acquisition::Granted(lease) => lease,
        other => panic!("{request:?} is granted, and not answered {other:?}"),
    }
}

async fn queued(store: &RedisBackend, request: &AcquireRequest) {
    let answer = store.acquire(request).await.unwrap().value;
    assert!(matches!(answer, Acquisition::Queued(_)), "{answer:?}");
}

async fn lose(server: &RedisServer, part: &str) {
    let lost = server.command(&["DEL", &format!("{{lock:0}}:{part}:key")]).await;
    assert_eq!(lost, "1", "{part}");
}

fn reader(name: &str) -> AcquireRequest {
    ask(name, "key").with_mode(Mode::READER)
}

/// A reader that holds with another, and two writers that wait: every structure there is.
async fn crowd(store: &RedisBackend) -> ([Lease; 2], [AcquireRequest; 2]) {
    let leases = [granted(store, &reader("ann")).await, granted(store, &reader("ben")).await];
    let waiting = [queue("bob", "key"), queue("carol", "key")];
    for request in &waiting {
        queued(store, request).await;
    }
    (leases, waiting)
}

#[tokio::test]
async fn lost_index_is_made_anew_by_the_next_command() {
    for user in [BY_FUNCTIONS, BY_SCRIPTS] {
        for part in ["queue", "silence", "ends"] {
            let server = RedisServer::start_with(users()).await;
            let store = store(&url_of(user, server.addr()), "alice").await;
            let (leases, waiting) = crowd(&store).await;
            lose(&server, part).await;
            // No newcomer passes the holders, and no waiter loses its position.
            let newcomer = queue("dora", "key").with_mode(Mode::READER);
            queued(&store, &newcomer).await;
            let seen = store.inspect(&InspectQuery::new(key("key"))).await.unwrap().value;
            assert_eq!((seen.holders, seen.waiting), (2, 3), "{part}: {seen:?}");
            let order = seen.waiters.items.iter().map(|it| it.request).collect::<Vec<_>>();
            assert_eq!(order, [waiting[0].id, waiting[1].id, newcomer.id], "{part}");
            for lease in &leases {
                let renewal = RenewRequest::new(lease.name(), Ttl::default());
                let renewed = store.renew(&[renewal]).await.remove(0).unwrap().value;
                assert!(matches!(renewed, Renewal::Renewed { .. }), "{part}: {renewed:?}");
                let _ = store.release(&ReleaseRequest::new(lease.name())).await.unwrap();
            }
            for request in [&waiting[0], &waiting[1], &newcomer] {
                let hear = [HearRequest::new(key("key"), request.id)];
                let heard = store.hear(&hear).await.remove(0).unwrap().value;
                let Heard::Granted(lease) = heard else { panic!("{part}: {heard:?}") };
                let _ = store.release(&ReleaseRequest::new(lease.name())).await.unwrap();
            }
            until_clean(&server, &["key"]).await;
        }
    }
}

#[tokio::test]
async fn queue_that_the_state_has_forgotten_is_kept() {
    let server = RedisServer::start().await;
    let store = store(&server.url(), "alice").await;
    let held = granted(&store, &ask("alice", "key")).await;
    let (first, second) = (queue("bob", "key"), queue("carol", "key"));
    queued(&store, &first).await;
    lose(&server, "state").await;
    // The lease was in the state alone: it is lost, and the next two find a free key and a place.
    let next = granted(&store, &ask("dora", "key")).await;
    assert!(next.token > held.token);
    queued(&store, &second).await;
    let seen = store.inspect(&InspectQuery::new(key("key"))).await.unwrap().value;
    let order = seen.waiters.items.iter().map(|it| it.request).collect::<Vec<_>>();
    assert_eq!(order, [first.id, second.id], "{seen:?}");
    for request in [next.request, first.id, second.id] {
        let _ = store.cancel(&CancelRequest::new(key("key"), request)).await.unwrap();
    }
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn operator_repairs_keys_without_records() {
    let server = RedisServer::start().await;
    let store = store(&server.url(), "alice").await;
    let (mailbox, mut notices) = listening(&store).await;
    let (leases, waiting) = crowd(&store).await;
    lose(&server, "details").await;
    let request = queue("dora", "key").with_mailbox(mailbox);
    let error = store.acquire(&request).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some(&key("key"))), "{error:?}");
    let report = store.repair(&key("key")).await.unwrap().value;
    let dropped = (report.dropped_leases, report.dropped_waiters);
    assert_eq!(dropped, (leases.len() as u64, waiting.len() as u64), "{report:?}");
    assert_eq!((report.kept_leases, report.kept_waiters), (0, 0), "{report:?}");
    let told = std::future::poll_fn(|cx| notices.as_mut().poll_next(cx));
    let told = within("all are told to ask", secs(5), told).await;
    assert_eq!(told, Some(Notice::MayHaveMissed));
    let lease = granted(&store, &request).await;
    assert!(lease.token > leases[1].token);
    let _ = store.release(&ReleaseRequest::new(lease.name())).await.unwrap();
    until_clean(&server, &["key"]).await;
}

async fn listening(store: &RedisBackend) -> (MailboxId, lock_core::NoticeStream) {
    let mailbox = MailboxId::random();
    (mailbox, store.listen(mailbox).await.unwrap())
}

#[tokio::test]
async fn operator_repairs_any_corrupt_state() {
    for part in ["state", "details", "queue", "silence", "ends", "marks", "fading"] {
        for nonsense in [["SET", "9"], ["LPUSH", "x"]] {
            let server = RedisServer::start().await;
            let store = store(&server.url(), "alice").await;
            let (_, waiting) = crowd(&store).await;
            let unknown = CancelRequest::new(key("key"), waiting[1].id);
            let _ = store.cancel(&unknown.with_answer_outstanding(true)).await.unwrap();
            let name = format!("{{lock:0}}:{part}:key");
            let _ = server.command(&["DEL", &name]).await;
            let _ = server.command(&[nonsense[0], &name, nonsense[1]]).await;
            let _ = store.repair(&key("key")).await.unwrap();
            let seen = store.inspect(&InspectQuery::new(key("key"))).await.unwrap().value;
            let expected = if part == "details" { (0, 0) } else { (2, 1) };
            assert_eq!((seen.holders, seen.waiting), expected, "{part} {nonsense:?}: {seen:?}");
            let _ = store.acquire(&queue("dora", "key")).await.unwrap();
        }
    }
}

#[tokio::test]
async fn listings_step_over_a_damaged_key_and_health_names_it() {
    let server = RedisServer::start().await;
    let store = store(&server.url(), "alice").await;
    for name in ["a", "b", "c"] {
        granted(&store, &ask("alice", name)).await;
    }
    crowd(&store).await;
    lose(&server, "details").await;
    assert_eq!(server.command(&["SET", "{lock:0}:state:b", "1x"]).await, "OK");
    assert_eq!(server.command(&["LPUSH", "{lock:0}:state:d", "x"]).await, "1");
    let listed = store.list(&ListQuery::all()).await.unwrap().value;
    let mut names: Vec<_> = listed.items.iter().map(|it| it.key.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "c"]);
    let waits = store.waits_of(&WaitsQuery::new(owner("bob"))).await.unwrap().value;
    assert_eq!(waits.items.len(), 0, "its records are lost");
    let said = store.health().await.unwrap().warnings.join("\n");
    for name in ["`b`", "`d`", "`key`"] {
        assert!(said.contains(name), "{said}");
    }
    for name in ["b", "d", "key"] {
        let _ = store.repair(&key(name)).await.unwrap();
    }
    assert_eq!(store.health().await.unwrap().warnings, [""; 0]);
    granted(&store, &ask("alice", "b")).await;
}

#[tokio::test]
async fn store_of_another_layout_is_refused() {
    let server = RedisServer::start().await;
    let first = store(&server.url(), "alice").await;
    assert_eq!(server.command(&["GET", "{lock:0}:layout"]).await, "1");
    assert_eq!(server.command(&["SET", "{lock:0}:layout", "0"]).await, "OK");
    let config = RedisConfig::parse(&server.url()).unwrap();
    let error = RedisBackend::connect(config.clone()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unsupported, false), "{error:?}");
    // Another prefix is another store.
    let other = RedisBackend::connect(config.with_prefix("other").unwrap()).await.unwrap();
    granted(&other, &ask("alice", "key")).await;
    drop(first);
}

#[tokio::test]
async fn messages_of_strangers_do_no_harm() {
    let server = RedisServer::start().await;
    let store = store(&server.url(), "alice").await;
    let (mailbox, mut notices) = listening(&store).await;
    let mut next = async || {
        let next = std::future::poll_fn(|cx| notices.as_mut().poll_next(cx));
        within("something is told", secs(5), next).await
    };
    let channels: Vec<_> = {
        let listed = server.command(&["PUBSUB", "CHANNELS"]).await;
        assert!(listed.contains(":store"), "{listed}");
        vec!["{lock:0}:store".to_owned()]
    };
    // The name of a mailbox is no text: a script knows it by its bytes.
    let bytes: Vec<_> =
        mailbox.to_bits().to_be_bytes().iter().map(|it| format!("\\{it}")).collect();
    let publish = |message: &str| {
        let bytes = bytes.concat();
        format!("return redis.call('PUBLISH', '{{lock:0}}:mailbox:{bytes}', {message})")
    };
    for message in [
        "''",
        "'g'",
        "'e'",
        "'a'",
        "'x'",
        "string.rep('g', 41)",
        "'g' .. string.rep('\\0', 41)",
        "'e' .. string.rep('\\255', 64)",
        "'e' .. string.rep('9', 28) .. ' '",
        "'a' .. string.rep('\\200', 99)",
        "string.rep('g', 100000)",
    ] {
        assert_eq!(server.command(&["EVAL", &publish(message), "0"]).await, "1", "{message}");
        let told = next().await;
        assert!(matches!(told, Some(Notice::MayHaveMissed)), "{message}: {told:?}");
    }
    for channel in channels {
        assert_eq!(server.command(&["PUBLISH", &channel, "anything"]).await, "1");
        assert_eq!(next().await, Some(Notice::MayHaveMissed));
    }
    let held = granted(&store, &ask("alice", "key")).await;
    let waiting = queue("bob", "key").with_mailbox(mailbox);
    queued(&store, &waiting).await;
    let _ = store.release(&ReleaseRequest::new(held.name())).await.unwrap();
    let told = next().await;
    assert!(matches!(&told, Some(Notice::Granted(it)) if it.request == waiting.id), "{told:?}");
}

#[tokio::test]
async fn last_token_of_all_is_granted_and_none_after_it() {
    let server = RedisServer::start().await;
    let store = store(&server.url(), "alice").await;
    let (mailbox, mut notices) = listening(&store).await;
    let highest = FencingToken::MAX.get();
    let set = async |token: u64| {
        server.command(&["SET", "{lock:0}:token", &token.to_string()]).await;
    };
    for _ in 0..2 {
        set(highest - 1).await;
        let last = granted(&store, &ask("alice", "key")).await;
        assert_eq!(last.token, FencingToken::MAX);
        let waiting = queue("bob", "key").with_mailbox(mailbox);
        queued(&store, &waiting).await;
        let error = store.acquire(&ask("alice", "other")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        let seen = store.inspect(&InspectQuery::new(key("other"))).await.unwrap().value;
        assert_eq!(seen.holders, 0, "nothing is granted without a token");
        // A held lease can be released. No notice asks for a request that does not exist.
        let released = store.release(&ReleaseRequest::new(last.name())).await.unwrap().value;
        assert_eq!(released, Release::Released);
        let cancel = CancelRequest::new(waiting.key.clone(), waiting.id);
        assert_eq!(store.cancel(&cancel).await.unwrap().value, Cancellation::Dequeued);
        let token = server.command(&["GET", "{lock:0}:token"]).await;
        assert_eq!(token, highest.to_string());
    }
    // A notice that comes after all of that comes first.
    assert_eq!(server.command(&["PUBLISH", "{lock:0}:store", "anything"]).await, "1");
    let next = std::future::poll_fn(|cx| notices.as_mut().poll_next(cx));
    assert_eq!(within("it is told", secs(5), next).await, Some(Notice::MayHaveMissed));
}
