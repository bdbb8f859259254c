//! Atlantis' layout in Redis, with and without failures.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::error::Error as _;
use std::time::Duration;

use lock_atlantis::{AtlantisRedis, ServerConfig};
use lock_compat::conformance::{lock, pull};
use lock_compat::legacy::{
    CommandName, LegacyKey, Outcome, ProjectLock, ProjectPlanStatus, ProjectResult, Timestamp,
    decode, encode,
};
use lock_compat::{LegacyBackend, LegacyError};
use lock_testkit_redis::server::{RedisServer, ServerConfig as Setup};

async fn store(server: &RedisServer) -> AtlantisRedis {
    AtlantisRedis::connect(config(server)).await.unwrap()
}

fn config(server: &RedisServer) -> ServerConfig {
    ServerConfig::parse(&server.url()).unwrap()
}

async fn set(server: &RedisServer, key: &str, text: &str) {
    assert_eq!(server.command(&["SET", key, text]).await, "OK");
}

fn text(lock: &ProjectLock) -> String {
    String::from_utf8(encode(lock)).unwrap()
}

/// The lock of a project with a name.
fn named(repo: &str, path: &str, name: &str, num: i64) -> ProjectLock {
    let mut lock = lock(repo, path, "default", num);
    name.clone_into(&mut lock.project.project_name);
    lock
}

#[tokio::test]
async fn locks_under_old_keys_are_moved() {
    let server = RedisServer::start().await;
    let old = [
        ("pr/owner/repo/path/default", named("owner/repo", "path", "", 1)),
        ("pr/owner/repo/a/b/c/default", named("owner/repo", "a/b/c", "", 2)),
        ("pr/group/sub/repo/path/default", named("group/sub/repo", "path", "", 3)),
        ("pr/owner/named/path/default", named("owner/named", "path", "name", 4)),
    ];
    for (key, lock) in &old {
        set(&server, key, &text(lock)).await;
    }
    let other = [("github.com::owner/repo::1", "{}"), ("pretty", "7"), ("global/apply/lock", "{}")];
    for (key, text) in other {
        set(&server, key, text).await;
    }
    let store = store(&server).await;
    for (key, lock) in old {
        let present = format!("pr/{}", LegacyKey::of(&lock));
        assert_eq!(server.command(&["GET", &present]).await, text(&lock));
        assert_eq!(server.command(&["EXISTS", key]).await, "0", "{key}");
        // In Atlantis such a lock could not be deleted, and others locked the project once more.
        let (project, workspace) = (&lock.project, &lock.workspace);
        assert_eq!(store.get_lock(project, workspace).await.unwrap().as_ref(), Some(&lock));
        assert!(!store.try_lock(lock.clone()).await.unwrap().0);
        assert_eq!(store.unlock(project, workspace).await.unwrap(), Some(lock));
    }
    for (key, text) in other {
        assert_eq!(server.command(&["GET", key]).await, text);
    }
}

#[tokio::test]
async fn locks_under_present_keys_stay() {
    let server = RedisServer::start().await;
    // Either could be an old key of another project: the lock itself decides.
    for lock in [named("owner/repo", "a/b", "c", 1), named("owner/repo", "a", "b/c", 2)] {
        set(&server, &format!("pr/{}", LegacyKey::of(&lock)), &text(&lock)).await;
    }
    let store = AtlantisRedis::connect_without_migration(config(&server)).await.unwrap();
    let migration = store.migrate_keys().await.unwrap();
    assert!(migration.is_clean() && migration.moved.is_empty(), "{migration}");
    assert_eq!(store.list().await.unwrap().locks.len(), 2);
}

#[tokio::test]
async fn what_cannot_be_moved_stays_and_is_reported() {
    let server = RedisServer::start().await;
    let (held, old) = (named("owner/repo", "path", "", 1), named("owner/repo", "path", "", 2));
    set(&server, "pr/owner/repo/path/default/", &text(&held)).await;
    set(&server, "pr/owner/repo/path/default", &text(&old)).await;
    set(&server, "pr/owner/else/path/default", &text(&old)).await;
    set(&server, "pr/owner/repo/bad/default", "{").await;
    let store = AtlantisRedis::connect_without_migration(config(&server)).await.unwrap();
    let migration = store.migrate_keys().await.unwrap();
    insta::assert_snapshot!(
        migration,
        @r#"0 moved, 1 in conflict, 1 of another project, 1 damaged; pr/owner/repo/path/default; pr/owner/else/path/default; the record "pr/owner/repo/bad/default" cannot be read: it ends too early at line 1 column 1"#
    );
    let again = store.migrate_keys().await.unwrap();
    assert_eq!(again.to_string(), migration.to_string());
    assert_eq!(server.command(&["GET", "pr/owner/repo/path/default/"]).await, text(&held));
    assert_eq!(server.command(&["DBSIZE"]).await, "4");
}

#[tokio::test]
async fn move_that_was_cut_short_is_finished() {
    let server = RedisServer::start().await;
    let held = named("owner/repo", "path", "", 1);
    for key in ["pr/owner/repo/path/default/", "pr/owner/repo/path/default"] {
        set(&server, key, &text(&held)).await;
    }
    let store = AtlantisRedis::connect_without_migration(config(&server)).await.unwrap();
    assert_eq!(store.migrate_keys().await.unwrap().moved.len(), 1);
    assert_eq!(server.command(&["KEYS", "*"]).await, "pr/owner/repo/path/default/");
}

#[tokio::test]
async fn status_of_a_host_that_begins_like_a_lock_is_no_lock() {
    let (server, mut pull) = (RedisServer::start().await, pull("owner/repo", 1));
    let store = store(&server).await;
    "private-git.example.com".clone_into(&mut pull.base_repo.vcs_host.hostname);
    let plan = ProjectResult::new("default", ".", CommandName::Plan, Outcome::Success);
    store.update_pull_with_results(&pull, &[plan]).await.unwrap();
    let listing = store.list().await.unwrap();
    assert!(listing.locks.is_empty() && listing.damaged.is_empty());
    let key = "private-git.example.com::owner/repo::1";
    assert_eq!(server.command(&["KEYS", "*"]).await, key);
}

#[tokio::test]
async fn a_change_of_status_keeps_what_others_wrote() {
    let server = RedisServer::start().await;
    let stored = r#"{"Projects":[{"Workspace":"default","RepoRelDir":".","ProjectName":"","PolicyStatus":null,"Status":1,"Later":[1]}],"Pull":{"Num":1},"Also":{"a":"\u003c"}}"#;
    set(&server, "github.com::owner/repo::1", stored).await;
    let discarded = ProjectPlanStatus::PlanDiscarded;
    let store = store(&server).await;
    store.update_project_status(&pull("owner/repo", 1), "default", ".", discarded).await.unwrap();
    let text = server.command(&["GET", "github.com::owner/repo::1"]).await;
    assert!(text.contains(r#""Status":5,"Later":[1]}"#), "{text}");
    assert!(text.ends_with(r#","Also":{"a":"\u003c"}}"#), "{text}");
}

#[tokio::test]
async fn nothing_has_a_time_to_live() {
    let (server, held) = (RedisServer::start().await, lock("owner/repo", ".", "default", 1));
    let store = store(&server).await;
    store.try_lock(held.clone()).await.unwrap();
    store.lock_command(CommandName::Apply, Timestamp::from_unix(7).unwrap()).await.unwrap();
    let plan = ProjectResult::new("default", ".", CommandName::Plan, Outcome::Success);
    store.update_pull_with_results(&held.pull, &[plan]).await.unwrap();
    for key in ["pr/owner/repo/./default/", "global/apply/lock", "github.com::owner/repo::1"] {
        assert_eq!(server.command(&["TTL", key]).await, "-1", "{key}");
    }
    let lock = r#"{"LockMetadata":{"UnixTime":7},"CommandName":0}"#;
    assert_eq!(server.command(&["GET", "global/apply/lock"]).await, lock);
}

#[tokio::test]
async fn an_attempt_is_one_round_trip() {
    let server = RedisServer::start().await;
    let store = store(&server).await;
    // The first has to load the script.
    store.try_lock(lock("owner/repo", "first", "default", 1)).await.unwrap();
    assert_eq!(server.command(&["CONFIG", "RESETSTAT"]).await, "OK");
    let before = calls(&server).await;
    for num in 0..10 {
        store.try_lock(lock("owner/repo", "path", "default", num)).await.unwrap();
    }
    let stats = server.command(&["INFO", "commandstats"]).await;
    assert!(stats.contains("cmdstat_evalsha:calls=10,"), "{stats}");
    // Each script reads once, and the first writes.
    let in_scripts = 10 + 1;
    assert_eq!(calls(&server).await - before, 10 + in_scripts + OWN, "{stats}");
}

/// Number of commands that the server has done, for clients and in scripts.
async fn calls(server: &RedisServer) -> u64 {
    server.info("total_commands_processed").await.unwrap().parse().unwrap()
}

/// Number of commands that the test sends between its two counts.
const OWN: u64 = 2;

#[tokio::test]
async fn calls_after_close_fail() {
    let server = RedisServer::start().await;
    let store = store(&server).await;
    store.close().await.unwrap();
    let error = store.try_lock(lock("owner/repo", "path", "default", 1)).await.unwrap_err();
    assert!(matches!(error, LegacyError::Store { unknown: false, .. }), "{error:?}");
    assert!(error.source().unwrap().to_string().contains("closed"), "{error:?}");
    assert!(store.ping().await.is_err());
}

#[tokio::test]
async fn key_of_another_type_is_named_and_hides_no_other() {
    let server = RedisServer::start().await;
    let store = store(&server).await;
    let (good, bad) =
        (lock("owner/repo", "good", "default", 1), lock("owner/repo", "bad", "default", 1));
    store.try_lock(good.clone()).await.unwrap();
    assert_eq!(server.command(&["RPUSH", "pr/owner/repo/bad/default/", "x"]).await, "1");
    let listing = store.list().await.unwrap();
    assert_eq!((listing.locks, listing.damaged.len()), (vec![good], 1));
    for error in [
        store.get_lock(&bad.project, "default").await.unwrap_err(),
        store.unlock(&bad.project, "default").await.unwrap_err(),
        store.try_lock(bad.clone()).await.unwrap_err(),
    ] {
        assert!(matches!(&error, LegacyError::Damaged(it) if it.key.contains("bad")), "{error:?}");
    }
}

#[tokio::test]
async fn locks_that_vanish_meanwhile_are_no_error() {
    let server = RedisServer::start().await;
    let store = store(&server).await;
    let churn = {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..200 {
                let lock = lock("owner/repo", &format!("dir-{round}"), "default", 1);
                store.try_lock(lock.clone()).await.unwrap();
                store.unlock(&lock.project, "default").await.unwrap();
            }
        })
    };
    while !churn.is_finished() {
        let listing = store.list().await.unwrap();
        assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
        store.unlock_by_pull("owner/repo", 2).await.unwrap();
    }
    churn.await.unwrap();
}

#[tokio::test]
async fn users_are_known_by_their_password_which_is_never_shown() {
    let setup = Setup::new().with("user", "alice on >hunter2 ~* &* +@all");
    let server = RedisServer::start_with(setup).await;
    let at = |login: &str| server.url().replace("redis://", &format!("redis://{login}@"));
    let config = ServerConfig::parse(&at("alice:hunter2")).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    AtlantisRedis::connect(config).await.unwrap().ping().await.unwrap();
    let config = ServerConfig::parse(&at("alice:hunter3")).unwrap();
    let error = AtlantisRedis::connect(config).await.unwrap_err();
    let cause = error.source().unwrap().to_string();
    assert!(!error.is_unknown() && cause.contains("authentication failed"), "{cause}");
    assert!(!format!("{error:?}{error}{cause}").contains("hunter"));
}

#[tokio::test]
async fn wrong_addresses_are_refused() {
    let config = ServerConfig::parse_cluster([" localhost:7000", "redis://localhost:7001/ "]);
    assert!(config.is_ok(), "{config:?}");
    let error = ServerConfig::parse_cluster(["", " "]).unwrap_err();
    assert_eq!(error.to_string(), "redis cluster addresses provided but all are empty");
    for url in ["", "nonsense", "http://user:hunter2@host/"] {
        let error = ServerConfig::parse(url).unwrap_err();
        assert_eq!(error.field(), "url");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    // Nothing listens at port 1.
    let config = ServerConfig::parse("redis://127.0.0.1:1/").unwrap();
    let error = AtlantisRedis::connect(config).await.unwrap_err();
    assert!(matches!(error, LegacyError::Store { unknown: false, .. }), "{error:?}");
}

#[tokio::test]
async fn server_that_was_killed_is_reached_again() {
    let server = RedisServer::start_with(Setup::new().durable()).await;
    let store = store(&server).await;
    let held = lock("owner/repo", ".", "default", 1);
    store.try_lock(held.clone()).await.unwrap();
    server.kill().await;
    let error = store.try_lock(held.clone()).await.unwrap_err();
    assert!(matches!(error, LegacyError::Store { .. }), "{error:?}");
    server.restart().await;
    assert_eq!(store.try_lock(held.clone()).await.unwrap(), (false, held));
}

#[tokio::test]
async fn server_that_hangs_is_given_up_in_time() {
    let server = RedisServer::start().await;
    let hasty = config(&server).with_timeout(Duration::from_millis(200));
    let store = AtlantisRedis::connect(hasty).await.unwrap();
    let held = lock("owner/repo", ".", "default", 1);
    server.pause().await;
    let error = store.try_lock(held.clone()).await.unwrap_err();
    assert!(error.is_unknown(), "{error:?}");
    server.resume();
    // The attempt without an answer has happened, or has not.
    assert_eq!(store.try_lock(held.clone()).await.unwrap().1, held);
    let stored: Vec<u8> = server.command(&["GET", "pr/owner/repo/./default/"]).await.into();
    assert_eq!(decode::<ProjectLock>("key", &stored).unwrap(), held);
}
