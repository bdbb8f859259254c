//! Servers that answer, but refuse: replicas, loading, out of memory, out of disk, wrong password.

use std::error::Error as _;

use lock_core::{
    Acquisition, CancelRequest, Error, ErrorKind, InspectQuery, Lease, LockBackend, LockInspector,
    Release, ReleaseRequest, RenewRequest, Renewal, Result, Ttl,
};
use lock_redis::RedisBackend;
use lock_testkit::server::{RedisServer, ServerConfig};

use crate::scene::{
    BY_FUNCTIONS, BY_SCRIPTS, ask, hang_up, hasty, key, manager, millis, queue, secs, store, until,
    until_clean, url_of, users, within,
};

/// An error that certainly changed nothing, and that passes, for this reason.
fn assert_refused(error: &Error, why: &str) {
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false), "{error:?}");
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(said.contains(why), "{said}");
}

/// What every operation that changes something is answered, of a lease that is held.
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

/// A refusal for want of memory. A server before version 7 lets a script run until it needs some,
/// so that what it did before is not known.
fn assert_oom(error: &Error) {
    if RedisServer::has_functions() {
        assert_refused(error, "OOM");
    }
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(error.kind() == ErrorKind::Unavailable && said.contains("OOM"), "{error:?}");
}

/// An answer, or a refusal for want of memory.
fn answer_or_oom<T>(answer: Result<T>) -> Option<T> {
    answer.map_err(|error| assert_oom(&error)).ok()
}

#[tokio::test]
async fn server_without_memory_refuses_for_certain() {
    for user in [BY_FUNCTIONS, BY_SCRIPTS] {
        let server = RedisServer::start_with(users()).await;
        let alice = store(&url_of(user, server.addr()), "alice").await;
        let held = holder(&alice).await;
        assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "1"]).await, "OK");
        for request in [ask("bob", "free"), queue("bob", "key")] {
            assert_oom(&alice.acquire(&request).await.unwrap_err());
        }
        let renewed = [RenewRequest::new(held.name(), Ttl::default())];
        if let Some(renewed) = answer_or_oom(alice.renew(&renewed).await.remove(0)) {
            assert!(matches!(renewed.value, Renewal::Renewed { .. }));
        }
        let freed = ReleaseRequest::new(held.name());
        match answer_or_oom(alice.release(&freed).await) {
            Some(released) => assert_eq!(released.value, Release::Released),
            None => assert_eq!(user, BY_FUNCTIONS, "a script may free what it holds"),
        }
        assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "0"]).await, "OK");
        let ended = CancelRequest::new(key("key"), held.request);
        let _ = alice.cancel(&ended).await.unwrap();
        until_clean(&server, &["key", "free"]).await;
    }
}

#[tokio::test]
async fn server_without_memory_hands_a_key_on_or_not_at_all() {
    for user in [BY_FUNCTIONS, BY_SCRIPTS] {
        let server = RedisServer::start_with(users()).await;
        let alice = store(&url_of(user, server.addr()), "alice").await;
        let (held, next) = (holder(&alice).await, queue("bob", "key"));
        assert!(matches!(alice.acquire(&next).await.unwrap().value, Acquisition::Queued(_)));
        assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "1"]).await, "OK");
        let freed = ReleaseRequest::new(held.name());
        let released = answer_or_oom(alice.release(&freed).await);
        assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "0"]).await, "OK");
        let seen = alice.inspect(&InspectQuery::new(key("key"))).await.unwrap().value;
        let (holds, waiting) = match released {
            Some(released) => {
                assert_eq!(released.value, Release::Released);
                (next.id, 0)
            }
            None => (held.request, 1),
        };
        assert_eq!(seen.leases.iter().map(|it| it.request).collect::<Vec<_>>(), [holds]);
        assert_eq!(seen.waiting, waiting);
        for request in [next.id, held.request] {
            let _ = alice.cancel(&CancelRequest::new(key("key"), request)).await.unwrap();
        }
        until_clean(&server, &["key"]).await;
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
