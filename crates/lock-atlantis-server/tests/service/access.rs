//! Who is served, and what is refused by name.

use std::fs;

use lock_atlantis_server::AtlantisServiceConfig;
use lock_compat::conformance::lock;
use lock_server::{Access, AccessToken, AccessTokens, AuditLog, Role};
use serde_json::Value;

use crate::common::{Server, ask, frame, key, text};

/// A token, and its lines for the file.
fn token(name: &str, role: Role, prefixes: &[&str]) -> (String, String) {
    let token = AccessToken::random();
    let prefixes: Vec<_> = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
    let lines = AccessTokens::lines(&token, name, role, &prefixes).unwrap();
    (token.reveal().to_owned(), lines)
}

async fn guarded(lines: &[&str]) -> (Server, Access) {
    let access = Access::with_tokens(AccessTokens::parse(&lines.concat()).unwrap());
    let config = AtlantisServiceConfig::new();
    (Server::with(config, access.clone(), None).await, access)
}

#[tokio::test]
async fn client_needs_a_token_as_its_password() {
    let (secret, lines) = token("ci", Role::Use, &[]);
    let (server, _) = guarded(&[&lines]).await;
    let mut client = server.client(Some(&secret)).await;
    assert_eq!(ask(&mut client, &["PING"]).await, Ok("PONG".to_owned()));
    assert!(server.connect(Some("wrong")).await.is_err());
    let mut raw = server.raw().await;
    for words in [&["PING"][..], &["GET", "pr/a/b/./d/"], &["KEYS", "*"], &["HELLO", "3"]] {
        raw.send(frame(words)).await;
        raw.expect("-NOAUTH Authentication required.\r\n").await;
    }
    // The old form, with and without a name.
    raw.send(frame(&["AUTH", &secret])).await;
    raw.expect("+OK\r\n").await;
    raw.send(frame(&["AUTH", "default", &secret])).await;
    raw.expect("+OK\r\n").await;
    // go-redis says all at once, and learns to which version it speaks.
    raw.send(frame(&["hello", "3", "auth", "default", &secret])).await;
    raw.expect("%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n").await;
}

#[tokio::test]
async fn wrong_secrets_end_the_connection() {
    let (_, lines) = token("ci", Role::Use, &[]);
    let (server, _) = guarded(&[&lines]).await;
    let mut raw = server.raw().await;
    raw.send(frame(&["AUTH", "wrong"]).repeat(5)).await;
    let said = raw.rest().await;
    assert_eq!(said.matches("-WRONGPASS").count(), 3, "{said}");
}

#[tokio::test]
async fn client_that_is_not_known_sends_small_commands() {
    let (_, lines) = token("ci", Role::Use, &[]);
    let (server, _) = guarded(&[&lines]).await;
    let mut raw = server.raw().await;
    raw.send(format!("*2\r\n$4\r\nAUTH\r\n${}\r\n", 65 * 1024)).await;
    assert!(raw.rest().await.contains("too large"));
}

#[tokio::test]
async fn role_and_prefixes_of_a_token_are_kept_to() {
    let (reads, one) = token("reads", Role::Read, &[]);
    let (own, two) = token("own", Role::Use, &["project:acme/infra:"]);
    let (all, three) = token("all", Role::Use, &[]);
    let (server, _) = guarded(&[&one, &two, &three]).await;
    let (mut reads, mut own) = (server.client(Some(&reads)).await, server.client(Some(&own)).await);
    let mut all = server.client(Some(&all)).await;
    let (mine, other) =
        (lock("acme/infra", ".", "default", 1), lock("acme/other", ".", "default", 2));
    let denied = |said: Result<String, String>| {
        let said = said.unwrap_err();
        assert!(said.contains("NOPERM") || said.contains("token `"), "{said}");
    };
    denied(ask(&mut reads, &["SET", &key(&mine), &text(&mine)]).await);
    assert_eq!(ask(&mut own, &["SET", &key(&mine), &text(&mine)]).await, Ok("OK".to_owned()));
    denied(ask(&mut own, &["SET", &key(&other), &text(&other)]).await);
    assert_eq!(ask(&mut all, &["SET", &key(&other), &text(&other)]).await, Ok("OK".to_owned()));
    denied(ask(&mut own, &["GET", &key(&other)]).await);
    let status = r#"{"Projects":null,"Pull":{"Num":1}}"#;
    assert_eq!(ask(&mut own, &["SET", "h::acme/infra::1", status]).await, Ok("OK".to_owned()));
    denied(ask(&mut own, &["SET", "h::acme/other::1", status]).await);
    denied(ask(&mut own, &["GET", "global/apply/lock"]).await);
    for (client, count) in [(&mut reads, 2), (&mut own, 1), (&mut all, 2)] {
        let found: (String, Vec<String>) =
            ask(client, &["SCAN", "0", "MATCH", "pr/*"]).await.unwrap();
        assert_eq!(found.1.len(), count);
        assert_eq!(ask(client, &["GET", &key(&mine)]).await, Ok(text(&mine)));
    }
    denied(ask(&mut reads, &["DEL", &key(&mine)]).await);
    // Who has read is the token, and not the address alone.
    let (other, _) = (key(&other), ());
    let refused = ask::<i64>(&mut all, &["DEL", &other]).await.unwrap_err();
    assert!(refused.contains("not the one that this client read"), "{refused}");
}

#[tokio::test]
async fn connection_of_a_revoked_token_ends() {
    let (secret, lines) = token("ci", Role::Use, &[]);
    let (_, others) = token("other", Role::Use, &[]);
    let (server, access) = guarded(&[&lines]).await;
    let mut raw = server.raw().await;
    raw.send(frame(&["AUTH", &secret])).await;
    raw.expect("+OK\r\n").await;
    access.replace(AccessTokens::parse(&others).unwrap());
    assert_eq!(raw.rest().await, "");
    assert!(server.connect(Some(&secret)).await.is_err());
}

#[tokio::test]
async fn each_ended_lock_leaves_a_line_of_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let audit = AuditLog::open(&path).unwrap();
    let config = AtlantisServiceConfig::new();
    let server = Server::with(config, Access::open(), Some(audit)).await;
    let mut client = server.client(None).await;
    let lock = lock("acme/infra", ".", "default", 7);
    ask::<String>(&mut client, &["SET", &key(&lock), &text(&lock)]).await.unwrap();
    ask::<String>(&mut client, &["GET", &key(&lock)]).await.unwrap();
    ask::<i64>(&mut client, &["DEL", &key(&lock)]).await.unwrap();
    let said: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!((&said["act"], &said["outcome"]), (&"atlantis_unlock".into(), &"done".into()));
    assert_eq!(said["ended"][0]["owner"], "pull:github.com:acme/infra:7");
    assert!(said["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn everything_that_is_not_served_is_refused_by_name() {
    let server = Server::start().await;
    let mut raw = server.raw().await;
    for name in ["KEYS", "FLUSHALL", "EVALSHA", "SCRIPT", "CONFIG", "SUBSCRIBE", "EXPIRE", "MULTI"]
    {
        raw.send(frame(&[name, "x"])).await;
        let said = format!(
            "-ERR unknown command '{name}': this is a lock server for Atlantis, and no Redis\r\n"
        );
        raw.expect(&said).await;
    }
    raw.send(frame(&["QUIT"])).await;
    assert_eq!(raw.rest().await, "+OK\r\n");
}
