//! Watching by the journal: it resumes where it stood, and reports gaps.

#![expect(clippy::panic, reason = "a failed test panics")]

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, Change, ErrorKind, EventCursor, EventFilter, EventStream,
    InspectQuery, Lease, LockBackend, LockInspector, LockKey, OwnerId, ReleaseRequest, RequestId,
    Watched,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::server::RedisServer;

async fn store(server: &RedisServer, entries: u32) -> RedisBackend {
    let entries = NonZeroU32::new(entries).expect("not zero");
    let config = RedisConfig::parse(&server.url()).expect("a URL").with_journal(entries);
    RedisBackend::connect(config).await.expect("the server is up")
}

/// Takes a key and gives it back.
async fn turn(store: &RedisBackend, key: &str) -> Lease {
    let key = LockKey::parse(key).expect("a key");
    let owner = OwnerId::parse("alice").expect("an owner");
    let request = AcquireRequest::new(RequestId::random(), key, owner);
    let granted = loop {
        match store.acquire(&request).await {
            // The first command that finds the store flushed is refused once.
            Err(error) if !error.is_unknown() && error.is_retryable() => {}
            answer => break answer.expect("acquire answers"),
        }
    };
    let Acquisition::Granted(lease) = granted.value else { panic!("the key is free") };
    let released = store.release(&ReleaseRequest::new(lease.name())).await;
    released.map(drop).expect("release answers");
    lease
}

async fn next(events: &mut EventStream) -> Watched {
    let next = poll_fn(|cx| events.as_mut().poll_next(cx));
    let next = tokio::time::timeout(Duration::from_secs(20), next).await;
    next.expect("an event comes").expect("the stream goes on")
}

async fn expect_turn(events: &mut EventStream, lease: &Lease) {
    for wanted in [Change::Granted(lease.clone()), Change::Released(lease.clone())] {
        match next(events).await {
            Watched::Event(event) => assert_eq!(event.change, wanted),
            other => panic!("expected {wanted:?}, got {other:?}"),
        }
    }
}

#[tokio::test]
async fn watching_needs_a_journal() {
    let server = RedisServer::start().await;
    let config = RedisConfig::parse(&server.url()).expect("a URL");
    let store = RedisBackend::connect(config).await.expect("the server is up");
    let Err(error) = store.watch(&EventFilter::all(), None).await else {
        panic!("nothing to watch")
    };
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(!store.capabilities().events);
}

#[tokio::test]
async fn watching_goes_on_where_it_stood_after_a_cut() {
    let server = RedisServer::start().await;
    let store = store(&server, 1000).await;
    let mut events = store.watch(&EventFilter::all(), None).await.expect("the journal can be read");
    expect_turn(&mut events, &turn(&store, "before").await).await;
    for round in 0..5 {
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        // The store's own connection is cut, too, and an operation may meet the cut.
        let query = InspectQuery::new(LockKey::parse("probe").expect("a key"));
        while store.inspect(&query).await.is_err() {}
        let lease = turn(&store, &format!("after-{round}")).await;
        expect_turn(&mut events, &lease).await;
    }
}

#[tokio::test]
async fn watchers_that_lag_receive_missed() {
    let server = RedisServer::start().await;
    let store = store(&server, 1).await;
    let mut events = store.watch(&EventFilter::all(), None).await.expect("the journal can be read");
    expect_turn(&mut events, &turn(&store, "first").await).await;
    // More than the watcher's buffer holds and the journal keeps, without a reader meanwhile.
    let mut last = None;
    for _ in 0..2_000 {
        last = Some(turn(&store, "key").await);
    }
    let last = last.expect("there were turns");
    let mut missed = 0;
    let mut tokens = Vec::new();
    loop {
        match next(&mut events).await {
            Watched::Missed(count) => missed += count,
            Watched::Event(event) => match event.change {
                Change::Granted(lease) => tokens.push(lease.token),
                Change::Released(lease) if lease == last => break,
                _ => {}
            },
            other => panic!("neither event nor gap: {other:?}"),
        }
    }
    assert!(missed > 0, "4,000 events do not fit into a journal of one block and the buffers");
    assert!(tokens.is_sorted(), "what is left is in order");
}

#[tokio::test]
async fn a_journal_that_is_flushed_begins_anew() {
    let server = RedisServer::start().await;
    let store = store(&server, 1000).await;
    let mut events = store.watch(&EventFilter::all(), None).await.expect("the journal can be read");
    // Often enough that some turns come within a millisecond of those that were flushed.
    for round in 0..50 {
        let lease = turn(&store, "key").await;
        for wanted in [Change::Granted(lease.clone()), Change::Released(lease)] {
            let mut seen = next(&mut events).await;
            while matches!(seen, Watched::Missed(_)) {
                seen = next(&mut events).await;
            }
            let Watched::Event(event) = seen else { panic!("no event: {seen:?}") };
            assert_eq!(event.change, wanted, "round {round}");
        }
        assert_eq!(server.command(&["FLUSHALL"]).await, "OK");
    }
}

#[tokio::test]
async fn cursor_of_dropped_events_is_missed() {
    let server = RedisServer::start().await;
    let store = store(&server, 1000).await;
    let mut events = store.watch(&EventFilter::all(), None).await.expect("the journal can be read");
    turn(&store, "key").await;
    let Watched::Event(first) = next(&mut events).await else { panic!("it is granted") };
    assert_eq!(server.command(&["FLUSHALL"]).await, "OK");
    let lease = turn(&store, "key").await;
    let resumed = store.watch(&EventFilter::all(), Some(&first.cursor)).await;
    let mut resumed = resumed.expect("the journal can be read");
    assert!(matches!(next(&mut resumed).await, Watched::Missed(_)));
    expect_turn(&mut resumed, &lease).await;
}

#[tokio::test]
async fn cursor_of_no_journal_is_refused() {
    let server = RedisServer::start().await;
    let store = store(&server, 1000).await;
    for text in ["", "1", "1-", "-1", "1-2-3", "+1-2", "a-b", "99999999999999999999-0"] {
        let cursor = EventCursor::new(text.to_owned());
        let Err(error) = store.watch(&EventFilter::all(), Some(&cursor)).await else {
            panic!("`{text}` is refused")
        };
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
    }
}
