//! The locks of projects and of commands, as Atlantis takes and ends them.

use lock_compat::LegacyBackend as _;
use lock_compat::conformance::lock;
use lock_compat::legacy::ProjectLock;
use lock_core::{OwnerId, Ttl};

use crate::common::{Server, UNLOCK, ask, key, text};

type Nothing = Option<String>;

#[tokio::test]
async fn lock_is_a_lease_that_never_ends_and_whose_owner_is_the_pull_request() {
    let server = Server::start().await;
    let mut client = server.client(None).await;
    let lock = lock("acme/infra", "modules/vpc", "default", 7);
    assert_eq!(ask::<Nothing>(&mut client, &["GET", &key(&lock)]).await, Ok(None));
    assert_eq!(ask(&mut client, &["SET", &key(&lock), &text(&lock)]).await, Ok("OK".to_owned()));
    let leases = server.adapter.project_leases(None).await.unwrap();
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].key.as_str(), "project:acme/infra:modules/vpc:default::github.com");
    assert_eq!(leases[0].owner.as_str(), "pull:github.com:acme/infra:7");
    assert_eq!(leases[0].ttl, Ttl::Never);
    assert_eq!(ask(&mut client, &["GET", &key(&lock)]).await, Ok(text(&lock)));
    assert_eq!(ask(&mut client, &["DEL", &key(&lock)]).await, Ok(1));
    assert!(server.adapter.project_leases(None).await.unwrap().is_empty());
    assert_eq!(ask(&mut client, &["DEL", &key(&lock)]).await, Ok(0));
}

#[tokio::test]
async fn second_lock_is_refused_with_its_holder_and_a_repetition_is_not() {
    let server = Server::start().await;
    let mut client = server.client(None).await;
    let (own, other) =
        (lock("acme/infra", ".", "default", 7), lock("acme/infra", ".", "default", 8));
    let set = async |client: &mut _, lock: &ProjectLock| {
        ask::<String>(client, &["SET", &key(lock), &text(lock)]).await
    };
    assert_eq!(set(&mut client, &own).await, Ok("OK".to_owned()));
    let refused = set(&mut client, &other).await.unwrap_err();
    assert!(refused.contains("locked meanwhile by pull request 7 of \"alice\""), "{refused}");
    assert_eq!(set(&mut client, &own).await, Ok("OK".to_owned()));
    // The same pull request at another time is another attempt.
    let mut later = own.clone();
    later.user.username = "bob".to_owned();
    set(&mut client, &later).await.unwrap_err();
    assert_eq!(ask(&mut client, &["GET", &key(&own)]).await, Ok(text(&own)));
    // The form of an Atlantis that says what it means.
    let nothing: Nothing = None;
    assert_eq!(ask(&mut client, &["SET", &key(&other), &text(&other), "NX"]).await, Ok(nothing));
    assert_eq!(ask(&mut client, &["SETNX", &key(&other), &text(&other)]).await, Ok(0));
    assert_eq!(ask(&mut client, &["SETNX", &key(&own), &text(&own)]).await, Ok(1));
}

#[tokio::test]
async fn key_is_found_whatever_slashes_its_parts_have() {
    let server = Server::start().await;
    let mut client = server.client(None).await;
    let mut named = lock("acme/infra", "a/b/c", "staging", 1);
    named.project.project_name = "team/vpc".to_owned();
    let locks = [
        named,
        lock("group/sub/sub/repo", "a/b", "default", 2),
        lock("acme/infra", ".", "default", 3),
        lock("acme/in[fr]a*", "a:b%", "default", 4),
    ];
    for lock in &locks {
        ask::<String>(&mut client, &["SET", &key(lock), &text(lock)]).await.unwrap();
    }
    for lock in &locks {
        assert_eq!(ask(&mut client, &["GET", &key(lock)]).await, Ok(text(lock)));
    }
    for scan in ["pr/*", "pr*"] {
        let found: (String, Vec<String>) =
            ask(&mut client, &["SCAN", "0", "MATCH", scan]).await.unwrap();
        let mut keys: Vec<_> = locks.iter().map(key).collect();
        keys.sort();
        assert_eq!(found, ("0".to_owned(), keys));
    }
}

#[tokio::test]
async fn scan_of_a_repository_finds_that_repository_alone() {
    let server = Server::start().await;
    let mut client = server.client(None).await;
    let repos = ["owner/repo", "owner/repo2", "own[er]/repo", "owner/rep"];
    for repo in repos {
        let lock = lock(repo, "path", "default", 1);
        ask::<String>(&mut client, &["SET", &key(&lock), &text(&lock)]).await.unwrap();
    }
    // A status whose host begins like a lock is no lock.
    let status = r#"{"Projects":null,"Pull":{"Num":1}}"#;
    let name = "private-git.example.com::owner/repo::1";
    ask::<String>(&mut client, &["SET", name, status]).await.unwrap();
    for repo in repos {
        let scan = format!("pr/{repo}*");
        let found: (String, Vec<String>) =
            ask(&mut client, &["SCAN", "0", "MATCH", &scan]).await.unwrap();
        assert_eq!(found.1, [format!("pr/{repo}/path/default/")]);
    }
    let all: (String, Vec<String>) =
        ask(&mut client, &["SCAN", "0", "MATCH", "pr*"]).await.unwrap();
    assert_eq!(all.1.len(), repos.len());
}

#[tokio::test]
async fn lock_that_was_not_read_is_not_ended() {
    let server = Server::start().await;
    let (mut client, mut other) = (server.client(None).await, server.client(None).await);
    let (own, next) =
        (lock("acme/infra", ".", "default", 7), lock("acme/infra", ".", "default", 8));
    let key = key(&own);
    ask::<String>(&mut client, &["SET", &key, &text(&own)]).await.unwrap();
    let refused = ask::<i64>(&mut client, &["DEL", &key]).await.unwrap_err();
    assert!(refused.contains("not the one that this client read"), "{refused}");
    // Read on one connection and ended on another one, as a pool does.
    assert_eq!(ask(&mut client, &["GET", &key]).await, Ok(text(&own)));
    assert_eq!(ask(&mut other, &["EVAL", &UNLOCK, "1", &key, "7"]).await, Ok(text(&own)));
    ask::<String>(&mut other, &["SET", &key, &text(&next)]).await.unwrap();
    // What was read is gone, and the next one stays.
    ask::<i64>(&mut client, &["DEL", &key]).await.unwrap_err();
    assert_eq!(ask(&mut client, &["GET", &key]).await, Ok(text(&next)));
    assert_eq!(ask(&mut other, &["DEL", &key]).await, Ok(1));
}

#[tokio::test]
async fn script_ends_the_lock_of_its_pull_request_alone() {
    let server = Server::start().await;
    let mut client = server.client(None).await;
    let lock = lock("acme/infra", "a/b", "default", 7);
    let nothing: Nothing = None;
    let eval = ["EVAL", &UNLOCK, "1", &key(&lock)];
    let by = |number| [&eval[..], &[number]].concat();
    assert_eq!(ask(&mut client, &by("7")).await, Ok(nothing.clone()));
    ask::<String>(&mut client, &["SET", &key(&lock), &text(&lock)]).await.unwrap();
    assert_eq!(ask(&mut client, &by("8")).await, Ok(nothing));
    assert_eq!(ask(&mut client, &by("7")).await, Ok(text(&lock)));
    assert!(ask::<Nothing>(&mut client, &by("x")).await.unwrap_err().contains("number"));
    assert!(server.adapter.project_leases(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn lock_of_another_kind_is_shown_and_not_ended() {
    let server = Server::start().await;
    let mut client = server.client(None).await;
    let mine = lock("acme/infra", ".", "default", 7);
    let held = server.adapter.manager().acquire("project:acme/infra:.:default::github.com");
    let held = held.owner(OwnerId::parse("alice@laptop:1").unwrap()).await.unwrap();
    // The adapter knows the host only once it has locked there.
    let other = lock("acme/infra", "other", "default", 1);
    server.adapter.try_lock(other).await.unwrap();
    let shown: String = ask(&mut client, &["GET", &key(&mine)]).await.unwrap();
    assert!(shown.contains("alice@laptop:1"), "{shown}");
    ask::<String>(&mut client, &["SET", &key(&mine), &text(&mine)]).await.unwrap_err();
    let refused = ask::<i64>(&mut client, &["DEL", &key(&mine)]).await.unwrap_err();
    assert!(refused.contains("lockctl break"), "{refused}");
    assert!(!held.is_lost());
}

#[tokio::test]
async fn what_is_no_lock_of_its_key_is_refused_and_not_quoted() {
    let server = Server::start().await;
    let mut client = server.client(None).await;
    let mut lock = lock("acme/infra", "a", "default", 7);
    for (key, value, expected) in [
        (key(&lock), "{\"token\":\"hunter2\"".to_owned(), "cannot be read"),
        ("pr/acme/infra/b/default/".to_owned(), text(&lock), "another project than its key"),
        ("pr/acme/infra/a/default".to_owned(), text(&lock), "before 0.40"),
        ("other".to_owned(), text(&lock), "keeps no key 'other'"),
    ] {
        let refused = ask::<String>(&mut client, &["SET", &key, &value]).await.unwrap_err();
        assert!(refused.contains(expected) && !refused.contains("hunter2"), "{refused}");
    }
    lock.workspace = "a/b".to_owned();
    let refused =
        ask::<String>(&mut client, &["SET", &key(&lock), &text(&lock)]).await.unwrap_err();
    assert!(refused.contains("its workspace is empty or has a slash"), "{refused}");
}

#[tokio::test]
async fn command_is_locked_once_although_two_send_the_same_bytes() {
    let server = Server::start().await;
    let (mut client, mut other) = (server.client(None).await, server.client(None).await);
    let (key, value) =
        ("global/apply/lock", r#"{"LockMetadata":{"UnixTime":1759037292},"CommandName":0}"#);
    let set = ["SET", key, value];
    assert_eq!(ask(&mut client, &set).await, Ok("OK".to_owned()));
    let refused = ask::<String>(&mut other, &set).await.unwrap_err();
    assert!(refused.contains("locked meanwhile"), "{refused}");
    // A client that repeats itself has closed its connection before.
    drop(client);
    assert_eq!(ask(&mut other, &set).await, Ok("OK".to_owned()));
    assert!(ask::<i64>(&mut other, &["DEL", key]).await.unwrap_err().contains("read"));
    assert_eq!(ask(&mut other, &["GET", key]).await, Ok(value.to_owned()));
    assert_eq!(ask(&mut other, &["DEL", key]).await, Ok(1));
    assert_eq!(ask(&mut other, &["DEL", key]).await, Ok(0));
}
