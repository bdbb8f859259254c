//! Servers that answer, but refuse: replicas, loading, out of memory, out of disk, wrong password.

use std::error::Error as _;

use lock_core::{
    Acquisition, CancelRequest, Cancellation, Error, ErrorKind, EvictRequest, HearRequest, Heard,
    InspectQuery, Lease, ListQuery, LockBackend, LockInspector, Reason, Release, ReleaseRequest,
    RenewRequest, Renewal, Ttl,
};
use lock_redis::RedisBackend;
use lock_testkit_redis::server::{RedisServer, ServerConfig};

use crate::scene::{
    BY_FUNCTIONS, BY_SCRIPTS, ask, connections, hang_up, hasty, key, manager, millis, queue, secs,
    store, until, until_clean, url_of, users, within,
};

/// An error that certainly changed nothing, and that passes, for this reason.
fn assert_refused(error: &Error, why: &str) {
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false), "{error:?}");
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(said.contains(why), "{said}");
}

/// Errors of every modifying operation on a held lease.
async fn refusals(store: &RedisBackend, held: &Lease) -> Vec<Error> {
    let freed = ReleaseRequest::new(held.name());
    let ended = CancelRequest::new(held.key.clone(), held.request);
    let renewed = [RenewRequest::new(held.name(), Ttl::default())];
    vec![
        store.acquire(&ask("bob", "free")).await.unwrap_err(),
        store.acquire(&queue("bob", held.key.as_str())).await.unwrap_err(),
        store.renew(&renewed).await.remove(0).unwrap_err(),
        store.cancel(&ended).await.unwrap_err(),
        store.release(&freed).await.unwrap_err(),
    ]
}

async fn holder(store: &RedisBackend) -> Lease {
    match store.acquire(&ask("alice", "key")).await.unwrap().value {
        Acquisition::Granted(lease) => lease,
        other => panic!("a free key is granted: {other:?}"),
    }
}

async fn is_renewed(store: &RedisBackend, held: &Lease) -> bool {
    store.renew(&[RenewRequest::new(held.name(), Ttl::default())]).await.remove(0).is_ok()
}

async fn assert_held(server: &RedisServer, held: &Lease) {
    let fresh = store(&server.url(), "fresh").await;
    let seen = fresh.inspect(&InspectQuery::new(held.key.clone())).await.unwrap().value;
    assert_eq!(seen.leases.iter().map(|it| it.request).collect::<Vec<_>>(), [held.request]);
    assert_eq!(seen.waiting, 0);
    let freed = ReleaseRequest::new(held.name());
    assert_eq!(fresh.release(&freed).await.unwrap().value, Release::Released);
    until_clean(server, &["key", "free"]).await;
}

#[tokio::test]
async fn replica_refuses_for_certain() {
    let server = RedisServer::start().await;
    let alice = store(&server.url(), "alice").await;
    let held = holder(&alice).await;
    assert_eq!(server.command(&["REPLICAOF", "127.0.0.1", "1"]).await, "OK");
    for error in refusals(&alice, &held).await {
        assert_refused(&error, "read only replica");
    }
    let health = alice.health().await.unwrap();
    assert!(health.warnings.iter().any(|it| it.contains("slave") || it.contains("replica")));
    assert!(!health.grants);
    assert_eq!(server.command(&["REPLICAOF", "NO", "ONE"]).await, "OK");
    until("it heals", async || is_renewed(&alice, &held).await).await;
    assert_held(&server, &held).await;
}

#[tokio::test]
async fn server_that_loads_refuses_for_certain() {
    let mut config = ServerConfig::new().durable();
    if RedisServer::has_functions() {
        // Before, it always was.
        config = config.with("enable-debug-command", "yes");
    }
    let server = RedisServer::start_with(config).await;
    let alice = store(&server.url(), "alice").await;
    let held = holder(&alice).await;
    let fill = "for i = 1, 6000 do redis.call('SET', 'fill' .. i, i) end";
    assert_eq!(server.command(&["EVAL", fill, "0"]).await, "(nil)");
    // Each of them takes a millisecond to be read back, until it is told otherwise; a server before
    // version 7 is told nothing while it loads.
    let delay = if RedisServer::has_functions() { "1000" } else { "100" };
    assert_eq!(server.command(&["CONFIG", "SET", "key-load-delay", delay]).await, "OK");
    assert_eq!(server.command(&["DEBUG", "SLEEP", "0"]).await, "OK");
    let reload = tokio::spawn({
        let mut client = server.client().await.unwrap();
        async move { client.command(&["DEBUG", "LOADAOF"]).await }
    });
    let is_loading = async || server.command(&["PING"]).await.starts_with("(error) LOADING");
    until("it loads", is_loading).await;
    let mut errors = Vec::new();
    until("it refuses", async || {
        let freed = ReleaseRequest::new(held.name());
        let refused = alice.release(&freed).await.unwrap_err();
        let said = refused.source().map(ToString::to_string).unwrap_or_default();
        assert!(!refused.is_unknown() || said.starts_with("no answer"), "{refused:?}");
        let is_loading = said.contains("LOADING") || said.contains("loading");
        errors.push(refused);
        is_loading
    })
    .await;
    let error = errors.pop().unwrap();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false), "{error:?}");
    if RedisServer::has_functions() {
        assert_eq!(server.command(&["CONFIG", "SET", "key-load-delay", "0"]).await, "OK");
    }
    assert_eq!(reload.await.unwrap().unwrap(), "OK");
    let unfill = "for i = 1, 6000 do redis.call('DEL', 'fill' .. i) end";
    assert_eq!(server.command(&["EVAL", unfill, "0"]).await, "(nil)");
    assert_held(&server, &held).await;
}

#[tokio::test]
async fn demoted_server_is_asked_seldom_and_by_functions_when_it_is_back() {
    let server = RedisServer::start().await;
    let alice = hasty(&server.url(), "alice", millis(100)).await;
    let held = holder(&alice).await;
    let received =
        async || server.info("total_connections_received").await.unwrap().parse::<u64>().unwrap();
    let loads = async || server.info("cmdstat_script|load").await.is_some();
    assert_eq!(server.command(&["REPLICAOF", "127.0.0.1", "1"]).await, "OK");
    let before = received().await;
    let end = tokio::time::Instant::now() + secs(4);
    while tokio::time::Instant::now() < end {
        let error = alice.acquire(&ask("bob", "free")).await.unwrap_err();
        assert!(!error.is_unknown(), "{error:?}");
    }
    // The pauses are 20, 40, .. up to 1,000 ms, half of that on average; some of the connections are
    // those of this test.
    let connections = received().await - before;
    assert!(connections <= 24, "{connections} connections in 4 s");
    assert_eq!(server.command(&["REPLICAOF", "NO", "ONE"]).await, "OK");
    until("it heals", async || is_renewed(&alice, &held).await).await;
    assert!(!RedisServer::has_functions() || !loads().await, "the commands became scripts");
    assert_held(&server, &held).await;
}

#[tokio::test]
async fn server_without_memory_ends_what_is_held_and_takes_no_more() {
    for user in [BY_FUNCTIONS, BY_SCRIPTS] {
        let server = RedisServer::start_with(users()).await;
        let alice = store(&url_of(user, server.addr()), "alice").await;
        let (held, next, third) =
            (holder(&alice).await, queue("bob", "key"), queue("carol", "key"));
        for waiting in [&next, &third] {
            assert!(matches!(alice.acquire(waiting).await.unwrap().value, Acquisition::Queued(_)));
        }
        let before = connections(&server, "alice").await;
        assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "1"]).await, "OK");
        for request in [ask("bob", "free"), queue("bob", "free")] {
            assert_refused(&alice.acquire(&request).await.unwrap_err(), "OOM");
        }
        let query = InspectQuery::new(key("key"));
        assert_eq!(alice.inspect(&query).await.unwrap().value.waiting, 2);
        assert_eq!(alice.list(&ListQuery::all()).await.unwrap().value.items.len(), 1);
        let renewed = [RenewRequest::new(held.name(), Ttl::default())];
        let renewed = alice.renew(&renewed).await.remove(0).unwrap().value;
        assert!(matches!(renewed, Renewal::Renewed { .. }), "{renewed:?}");
        // The key goes on: by a release, by an eviction, and by a cancel.
        let released = alice.release(&ReleaseRequest::new(held.name())).await.unwrap();
        assert_eq!(released.value, Release::Released);
        let hear = [HearRequest::new(key("key"), next.id)];
        let heard = alice.hear(&hear).await.remove(0).unwrap().value;
        assert!(matches!(heard, Heard::Granted(_)), "{heard:?}");
        let why = Reason::parse("stuck").unwrap();
        let evicted = EvictRequest::all(key("key"), crate::scene::owner("carol"), why);
        assert_eq!(alice.evict(&evicted).await.unwrap().value.leases.len(), 1);
        let ended = CancelRequest::new(key("key"), third.id);
        assert_eq!(alice.cancel(&ended).await.unwrap().value, Cancellation::Released);
        assert_eq!(alice.inspect(&query).await.unwrap().value.holders, 0);
        assert_eq!(connections(&server, "alice").await, before, "a refusal breaks no connection");
        assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "0"]).await, "OK");
        until_clean(&server, &["key", "free"]).await;
    }
}

#[tokio::test]
async fn server_that_cannot_write_its_data_refuses_for_certain() {
    let server = RedisServer::start().await;
    let alice = store(&server.url(), "alice").await;
    let held = holder(&alice).await;
    let dir = server.command(&["CONFIG", "GET", "dir"]).await;
    let dir = dir.lines().nth(1).unwrap().to_owned();
    // Nothing can be renamed to what is a folder.
    std::fs::create_dir(std::path::Path::new(&dir).join("dump.rdb")).unwrap();
    assert_eq!(server.command(&["CONFIG", "SET", "save", "3600 1000000"]).await, "OK");
    let _ = server.command(&["BGSAVE"]).await;
    let has_failed = async || {
        server.info("rdb_last_bgsave_status").await.as_deref() == Some("err")
            && server.info("rdb_bgsave_in_progress").await.as_deref() == Some("0")
    };
    until("the save fails", has_failed).await;
    for error in refusals(&alice, &held).await {
        assert_refused(&error, "MISCONF");
    }
    assert_eq!(server.command(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]).await, "OK");
    assert_held(&server, &held).await;
}

#[tokio::test]
async fn password_that_is_changed_and_back_heals() {
    let config = ServerConfig::new().with("user", "lock on >first ~* &* +@all");
    let server = RedisServer::start_with(config).await;
    let url = format!("redis://lock:first@{}/", server.addr());
    let alice = hasty(&url, "alice", millis(500)).await;
    let holding = manager(&url, "holding").await;
    let guard = holding.acquire("other").ttl(secs(30)).await.unwrap();
    let held = holder(&alice).await;
    let set = async |password: &str| {
        let set = ["ACL", "SETUSER", "lock", "resetpass", password];
        assert_eq!(server.command(&set).await, "OK");
    };
    set(">second").await;
    hang_up(&server, "alice").await;
    hang_up(&server, "holding").await;
    let freed = ReleaseRequest::new(held.name());
    let mut error = alice.release(&freed).await.unwrap_err();
    until("it is refused", async || {
        error = alice.acquire(&ask("bob", "free")).await.unwrap_err();
        error.source().is_some_and(|it| it.to_string().to_lowercase().contains("password"))
    })
    .await;
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false), "{error:?}");
    let said = format!("{error} {error:?} {:?}", error.source());
    assert!(!said.contains("first") && !said.contains("second"), "{said}");
    set(">first").await;
    let healed = async || is_renewed(&alice, &held).await;
    within("it heals", secs(10), until("it heals", healed)).await;
    assert!(!guard.is_lost());
    within("it heals, too", secs(10), guard.release()).await.unwrap();
    assert_held_by(&server, &held, &url).await;
}

async fn assert_held_by(server: &RedisServer, held: &Lease, url: &str) {
    let fresh = store(url, "fresh").await;
    let freed = ReleaseRequest::new(held.name());
    assert_eq!(fresh.release(&freed).await.unwrap().value, Release::Released);
    until_clean(server, &["key", "free", "other"]).await;
}
