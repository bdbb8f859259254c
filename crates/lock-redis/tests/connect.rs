//! Errors of an unreachable or unusable store, which never contain a password.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::error::Error as StdError;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Error, ErrorKind, InvalidInput, KeepAlive,
    LeaseName, LockBackend, LockInspector, LockKey, MailboxId, Operation, OwnerId, Release,
    ReleaseRequest, RenewRequest, Renewal, RequestId, Timed, Ttl, Violation,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::server::{RedisServer, ServerConfig};

const SECRET: &str = "hunter2";

/// Everything that can be read of an error.
fn whole(error: &dyn StdError) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        text += &format!("{error} / {error:?} / {error:#?}\n");
        next = error.source();
    }
    assert!(!text.contains(SECRET), "{text}");
    text
}

fn config(url: &str) -> RedisConfig {
    let config = RedisConfig::parse(url).unwrap();
    config.with_timeout(Duration::from_secs(5)).with_connect_timeout(Duration::from_secs(5))
}

/// The error of connecting to this URL, which contains no secret.
async fn refused(url: &str) -> Error {
    let error = RedisBackend::connect(config(url)).await.unwrap_err();
    let _ = whole(&error);
    assert_eq!((error.operation(), error.is_unknown()), (Operation::Connect, false), "{error:?}");
    let host = |server: &str| url.contains(server.trim_end_matches(":6379"));
    assert!(error.server().is_some_and(host), "{error:?}");
    error
}

fn at(server: &RedisServer, user: &str) -> String {
    format!("redis://{user}@{}/", server.addr())
}

fn request(name: &str) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(name).unwrap(), OwnerId::parse("alice").unwrap());
    AcquireRequest::new(RequestId::random(), key, owner)
}

/// The name of the lease that the request is granted.
async fn granted(store: &RedisBackend, request: &AcquireRequest) -> LeaseName {
    match store.acquire(request).await {
        Ok(Timed { value: Acquisition::Granted(lease), .. }) => lease.name(),
        other => panic!("{request:?} is granted, and not answered {other:?}"),
    }
}

#[test]
fn wrong_urls_are_refused() {
    for url in [
        "",
        "not a url",
        "http://localhost/",
        "redis://:hunter2@",
        "redis://:hunter2@host:port/",
        "redis://:hunter2@localhost/no-number",
        "redis://alice:hunter2@localhost:99999/",
        "amqp://alice:hunter2@localhost/",
    ] {
        let error = RedisConfig::parse(url).expect_err(url);
        assert_eq!(error.field(), "url", "{url}");
        let _ = whole(&error);
    }
}

#[test]
fn wrong_prefixes_and_names_are_refused() {
    let config = || RedisConfig::parse("redis://:hunter2@localhost/").unwrap();
    let long = "p".repeat(65);
    let (limit, expected) = (64, "a word without braces, spaces and control characters");
    for (text, violation) in [
        ("", Violation::Empty { limit }),
        (&*long, Violation::TooLong { length: 65, limit }),
        ("{a}", Violation::Malformed { expected }),
        ("a{", Violation::Malformed { expected }),
        ("a}", Violation::Malformed { expected }),
        ("a b", Violation::Malformed { expected }),
        ("a\n", Violation::Malformed { expected }),
        ("a\u{a0}b", Violation::Malformed { expected }),
    ] {
        let error = config().with_prefix(text).unwrap_err();
        assert_eq!(error, InvalidInput::new("prefix", violation.clone()));
        let _ = whole(&error);
        assert_eq!(config().with_name(text).unwrap_err(), InvalidInput::new("name", violation));
    }
    assert!(config().with_prefix(&long[1..]).is_ok());
}

#[tokio::test]
async fn non_ascii_names_are_supported() {
    let server = RedisServer::start().await;
    let config = config(&server.url()).with_prefix("Schlüssel").unwrap();
    let store = RedisBackend::connect(config).await.unwrap();
    granted(&store, &request("clé")).await;
    // The server lists connections by printable ASCII only.
    let named = self::config(&server.url()).with_name("Bühne").map(RedisBackend::connect);
    if let Ok(connecting) = named {
        let error = connecting.await.unwrap_err();
        let _ = whole(&error);
    }
}

#[tokio::test]
async fn unreachable_hosts_fail_in_time() {
    let server = RedisServer::start().await;
    let url = format!("redis://:{SECRET}@{}/", server.addr());
    server.kill().await;
    assert_eq!(refused(&url).await.kind(), ErrorKind::Unavailable);
    let error = refused(&format!("redis://:{SECRET}@no-such-host.invalid/")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    server.restart().await;
    server.pause().await;
    let limit = Duration::from_millis(200);
    let connecting = RedisBackend::connect(config(&url).with_connect_timeout(limit));
    let error = connecting.await.unwrap_err();
    let _ = whole(&error);
    assert_eq!(error.operation(), Operation::Connect);
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    server.resume();
}

#[tokio::test]
async fn wrong_passwords_fail_and_are_not_shown() {
    let server = RedisServer::start_with(
        ServerConfig::new()
            .with("requirepass", "right")
            .with("user", "alice on >right ~* &* +@all"),
    )
    .await;
    for url in [at(&server, ":hunter2"), at(&server, "alice:hunter2"), at(&server, "bob:hunter2")] {
        let error = refused(&url).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }
    // Without a password at all.
    assert_eq!(refused(&server.url()).await.kind(), ErrorKind::Unavailable);
    for url in [at(&server, ":right"), at(&server, "alice:right")] {
        assert!(RedisBackend::connect(config(&url)).await.is_ok(), "{url}");
    }
}

/// Permissions for functions, or for scripts.
fn forms() -> Vec<&'static str> {
    match RedisServer::has_functions() {
        true => vec!["+function", "-function"],
        false => vec!["+@all"],
    }
}

/// The number of calls of ours that the server has counted, as functions and as scripts.
async fn calls(server: &RedisServer) -> [usize; 2] {
    let stats = server.command(&["INFO", "commandstats"]).await;
    let count = |of: &[&str]| {
        let lines = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(':'));
        let counted = lines.filter(|(name, _)| of.contains(name));
        let calls = counted.map(|(_, stat)| stat.strip_prefix("calls=")?.split(',').next());
        calls.map(|calls| calls.unwrap().parse::<usize>().unwrap()).sum()
    };
    [count(&["fcall", "fcall_ro"]), count(&["eval", "evalsha", "eval_ro", "evalsha_ro"])]
}

#[tokio::test]
async fn commands_run_as_functions_where_the_user_may_load_them() {
    for form in forms() {
        let server = RedisServer::start().await;
        let set = ["ACL", "SETUSER", "alice", "on", ">hunter2", "~*", "&*", "+@all", form];
        assert_eq!(server.command(&set).await, "OK");
        let store = RedisBackend::connect(config(&at(&server, "alice:hunter2"))).await.unwrap();
        let before = calls(&server).await;
        let lease = granted(&store, &request("key")).await;
        let waiting = request("key").queueing(KeepAlive::default());
        let _ = store.acquire(&waiting).await.unwrap();
        let _ = store.renew(&[RenewRequest::new(lease.clone(), Ttl::default())]).await.remove(0);
        let _ = store.release(&ReleaseRequest::new(lease)).await.unwrap();
        let _ = store.cancel(&CancelRequest::new(waiting.key, waiting.id)).await.unwrap();
        let after = calls(&server).await;
        let [functions, scripts] = [0, 1].map(|at| after[at] - before[at]);
        let (used, unused) = match form {
            "+function" => (functions, scripts),
            _ => (scripts, functions),
        };
        assert!((5..=10).contains(&used) && unused == 0, "{form}: {before:?}, {after:?}");
    }
}

#[tokio::test]
async fn user_without_the_keys_or_channels_fails_at_connect() {
    let server = RedisServer::start().await;
    for may in [["~other*", "&*"], ["~*", "resetchannels"]] {
        let set = ["ACL", "SETUSER", "alice", "reset", "on", ">hunter2", "+@all"];
        assert_eq!(server.command(&[&set[..], &may].concat()).await, "OK");
        let _ = refused(&at(&server, "alice:hunter2")).await;
    }
    let set = ["ACL", "SETUSER", "alice", "reset", "on", ">hunter2", "+@all"];
    let may = ["~{lock:0}:*", "resetchannels", "&{lock:0}:*"];
    assert_eq!(server.command(&[&set[..], &may].concat()).await, "OK");
    let store = RedisBackend::connect(config(&at(&server, "alice:hunter2"))).await.unwrap();
    granted(&store, &request("key")).await;
}

#[tokio::test]
async fn user_without_subscribe_fails_at_connect() {
    let server = RedisServer::start().await;
    let set = ["ACL", "SETUSER", "alice", "on", ">hunter2", "~*", "&*", "+@all", "-subscribe"];
    assert_eq!(server.command(&set).await, "OK");
    let said = whole(&refused(&at(&server, "alice:hunter2")).await);
    assert!(said.contains("'subscribe'"), "{said}");
}

#[tokio::test]
async fn user_whose_subscribe_was_revoked_fails_at_listen() {
    let server = RedisServer::start().await;
    let set = ["ACL", "SETUSER", "alice", "on", ">hunter2", "~*", "&*", "+@all"];
    assert_eq!(server.command(&set).await, "OK");
    let store = RedisBackend::connect(config(&at(&server, "alice:hunter2"))).await.unwrap();
    assert_eq!(server.command(&["ACL", "SETUSER", "alice", "-subscribe"]).await, "OK");
    granted(&store, &request("key")).await;
    let Err(error) = store.listen(MailboxId::random()).await else { panic!("it cannot listen") };
    let _ = whole(&error);
    let kind = (error.kind(), error.operation(), error.is_unknown());
    assert_eq!(kind, (ErrorKind::Unavailable, Operation::Listen, false), "{error:?}");
    assert_eq!(error.server(), Some(server.addr().to_string().as_str()));
}

#[tokio::test]
async fn key_of_another_type_is_named_and_disturbs_no_other() {
    for part in ["state", "details", "queue", "silence", "ends", "marks", "fading"] {
        let server = RedisServer::start().await;
        let store = RedisBackend::connect(config(&server.url())).await.unwrap();
        let good = granted(&store, &request("good")).await;
        let bad = granted(&store, &request("bad")).await;
        let waiting = request("bad").queueing(KeepAlive::default());
        assert!(matches!(store.acquire(&waiting).await.unwrap().value, Acquisition::Queued(_)));
        let unknown = CancelRequest::new(bad.key.clone(), RequestId::random());
        let _ = store.cancel(&unknown.with_answer_outstanding(true)).await.unwrap();
        let name = format!("{{lock:0}}:{part}:bad");
        let _ = server.command(&["DEL", &name]).await;
        assert_eq!(server.command(&["LPUSH", &name, "x"]).await, "1");
        let next = request("bad").queueing(KeepAlive::default());
        if let Err(error) = store.acquire(&next).await {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{part}: {error:?}");
            assert_eq!(error.key(), Some(&next.key));
            assert_eq!(error.server(), Some(server.addr().to_string().as_str()));
        } else {
            // Of a key that is held by one, the ends are not looked at, and of a request without a
            // mark only when it would end.
            assert!(["ends", "marks"].contains(&part), "{part}");
        }
        let renew = |name: &LeaseName| RenewRequest::new(name.clone(), Ttl::default());
        let renewed = store.renew(&[renew(&bad), renew(&good)]).await;
        let is_renewed =
            matches!(&renewed[1], Ok(it) if matches!(it.value, Renewal::Renewed { .. }));
        assert!(is_renewed, "{part}: {renewed:?}");
        if let Err(error) = &renewed[0] {
            assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some(&bad.key)), "{part}");
        }
        let released = store.release(&ReleaseRequest::new(good)).await.unwrap();
        assert_eq!(released.value, Release::Released);
        granted(&store, &request("good")).await;
    }
}

#[tokio::test]
async fn state_of_an_unknown_letter_is_never_free() {
    for state in ["2x", "Q", "kz", ""] {
        let server = RedisServer::start().await;
        let store = RedisBackend::connect(config(&server.url())).await.unwrap();
        assert_eq!(server.command(&["SET", "{lock:0}:state:key", state]).await, "OK");
        for request in [request("key"), request("key").queueing(KeepAlive::default())] {
            let error = store.acquire(&request).await.expect_err(state);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{state}: {error:?}");
        }
        assert_eq!(server.command(&["GET", "{lock:0}:state:key"]).await, state);
    }
}

#[tokio::test]
async fn marks_leave_the_server_by_themselves() {
    let server = RedisServer::start().await;
    let store = RedisBackend::connect(config(&server.url())).await.unwrap();
    let ended = CancelRequest::new(LockKey::parse("key").unwrap(), RequestId::random());
    let _ = store.cancel(&ended.with_answer_outstanding(true)).await.unwrap();
    for part in ["state", "marks", "fading"] {
        let left = server.command(&["PTTL", &format!("{{lock:0}}:{part}:key")]).await;
        let left: u64 = left.parse().expect(part);
        assert!((290_000..=301_000).contains(&left), "{part}: {left}");
    }
    // A lease beside them stays, and they go all the same.
    let lease = granted(&store, &request("key")).await;
    assert_eq!(server.command(&["PTTL", "{lock:0}:state:key"]).await, "-1");
    assert_ne!(server.command(&["PTTL", "{lock:0}:marks:key"]).await, "-1");
    let released = store.release(&ReleaseRequest::new(lease)).await.unwrap();
    assert_eq!(released.value, Release::Released);
    assert_ne!(server.command(&["PTTL", "{lock:0}:state:key"]).await, "-1");
}

#[tokio::test]
async fn corrupt_key_is_named_in_the_error() {
    for form in forms() {
        let server = RedisServer::start().await;
        let set = ["ACL", "SETUSER", "alice", "on", ">hunter2", "~*", "&*", "+@all", form];
        assert_eq!(server.command(&set).await, "OK");
        name_nonsense(&server, &at(&server, "alice:hunter2")).await;
    }
}

async fn name_nonsense(server: &RedisServer, url: &str) {
    let store = RedisBackend::connect(config(url)).await.unwrap();
    assert_eq!(server.command(&["SET", "{lock:0}:state:bad", "1x"]).await, "OK");
    let error = store.acquire(&request("bad")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(!error.is_retryable());
    assert_eq!(error.key().map(LockKey::as_str), Some("bad"));
    granted(&store, &request("good")).await;
}

#[tokio::test]
async fn password_is_in_nothing_that_can_be_printed() {
    let password = ServerConfig::new().with("requirepass", SECRET);
    let server = RedisServer::start_with(password).await;
    let config = config(&at(&server, &format!(":{SECRET}")));
    assert!(!format!("{config:?} {config:#?}").contains(SECRET));
    let store = RedisBackend::connect(config).await.unwrap();
    let health = store.health().await.unwrap();
    let said = format!("{store:?} {store:#?} {health:?} {} {:?}", health.store, health.warnings);
    assert!(!said.contains(SECRET), "{said}");
    server.kill().await;
    let _ = whole(&store.acquire(&request("key")).await.unwrap_err());
    let _ = whole(&store.health().await.unwrap_err());
    let Err(error) = store.listen(MailboxId::random()).await else { panic!("the server is down") };
    let _ = whole(&error);
}

#[tokio::test]
async fn weak_points_name_scripts_and_small_output_limits() {
    let server = RedisServer::start().await;
    let store = RedisBackend::connect(config(&server.url())).await.unwrap();
    let says = async |store: &RedisBackend, words: &str| {
        let points = store.weak_points().await.unwrap();
        points.iter().any(|point| point.contains(words))
    };
    assert_eq!(says(&store, "run as scripts").await, !RedisServer::has_functions());
    assert!(!says(&store, "cut off at").await);
    let set = ["CONFIG", "SET", "client-output-buffer-limit", "pubsub 65536 8192 60"];
    assert_eq!(server.command(&set).await, "OK");
    assert!(says(&store, "cut off at 65536 bytes").await);
    let mut rule = vec!["ACL", "SETUSER", "plain", "on", ">secret", "~*", "&*", "+@all", "-config"];
    rule.extend(RedisServer::has_functions().then_some("-function"));
    assert_eq!(server.command(&rule).await, "OK");
    let url = server.url().replace("redis://", "redis://plain:secret@");
    let plain = RedisBackend::connect(config(&url)).await.unwrap();
    assert!(says(&plain, "run as scripts").await);
    assert!(!says(&plain, "cut off at").await);
}

#[tokio::test]
async fn health_warns_of_servers_that_forget_and_of_replicas() {
    let server = RedisServer::start().await;
    let store = RedisBackend::connect(config(&server.url())).await.unwrap();
    let warnings = async || store.health().await.unwrap().warnings;
    assert_eq!(warnings().await, [""; 0]);
    let set = ["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"];
    assert_eq!(server.command(&set).await, "OK");
    let said = warnings().await;
    assert!(matches!(&said[..], [one] if one.contains("allkeys-lru")), "{said:?}");
    let set = ["CONFIG", "SET", "maxmemory-policy", "noeviction"];
    assert_eq!(server.command(&set).await, "OK");
    assert_eq!(server.command(&["REPLICAOF", "127.0.0.1", "1"]).await, "OK");
    let said = warnings().await;
    assert!(matches!(&said[..], [one] if one.contains("slave")), "{said:?}");
}
