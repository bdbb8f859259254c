//! Clients that mean harm, or are broken.

use std::time::Duration;

use lock_atlantis_server::AtlantisServiceConfig;
use lock_compat::conformance::lock;
use tokio::io::AsyncWriteExt as _;

use crate::common::{Server, ask, frame, key, text};

/// Short limits, for clients that reach them.
fn strict() -> AtlantisServiceConfig {
    AtlantisServiceConfig::new()
        .with_frame_timeout(Duration::from_millis(200))
        .with_write_timeout(Duration::from_millis(200))
}

#[tokio::test]
async fn huge_frame_is_refused_when_it_is_announced() {
    let server = Server::limited(AtlantisServiceConfig::new().with_frame_bytes(1000)).await;
    for (bytes, expected) in [
        ("*2\r\n$3\r\nGET\r\n$998\r\n".to_owned(), "too large"),
        ("*1000000\r\n".to_owned(), "too many parts"),
        ("*1\r\n$999999999999\r\n".to_owned(), "too large"),
        ("*1\r\n$99999999999999999999\r\n".to_owned(), "invalid length"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "array of byte strings"),
        ("\u{16}\u{3}\u{1}".to_owned(), "array of byte strings"),
    ] {
        let mut raw = server.raw().await;
        raw.send(&bytes).await;
        let said = raw.rest().await;
        assert!(said.starts_with("-ERR Protocol error") && said.contains(expected), "{said}");
    }
    let mut raw = server.raw().await;
    raw.send(frame(&["ECHO", &"x".repeat(990)])).await;
    raw.expect("$990\r\n").await;
}

#[tokio::test]
async fn half_frame_is_cut_off_however_slowly_it_goes_on() {
    let server = Server::limited(strict()).await;
    let mut raw = server.raw().await;
    raw.send("*2\r\n$4\r\nECHO\r\n$1000\r\n").await;
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let mut sent = 0;
    // The client never pauses for as long as the limit.
    while raw.0.write_all(b"x").await.is_ok() {
        sent += 1;
        assert!(sent < 900, "it is not cut off");
        ticks.tick().await;
    }
    // A client between two commands is not.
    let mut raw = server.raw().await;
    raw.send(frame(&["PING"])).await;
    raw.expect("+PONG\r\n").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    raw.send(frame(&["PING"])).await;
    raw.expect("+PONG\r\n").await;
}

#[tokio::test]
async fn command_in_single_bytes_is_answered() {
    let server = Server::start().await;
    let mut raw = server.raw().await;
    raw.0.set_nodelay(true).unwrap();
    for byte in frame(&["ECHO", "hello"]).bytes() {
        raw.send([byte]).await;
    }
    raw.expect("$5\r\nhello\r\n").await;
}

#[tokio::test]
async fn client_that_reads_nothing_is_cut_off_and_hinders_nobody() {
    let server = Server::limited(strict()).await;
    let mut raw = server.raw().await;
    let large = frame(&["ECHO", &"x".repeat(1024 * 1024)]);
    // The answers fill the buffers of the system, and then those of the service.
    let mut sent = 0;
    while raw.0.write_all(large.as_bytes()).await.is_ok() {
        sent += 1;
        assert!(sent < 1000, "it is not cut off");
    }
    let mut client = server.client(None).await;
    assert_eq!(ask(&mut client, &["PING"]).await, Ok("PONG".to_owned()));
}

#[tokio::test]
async fn deep_pipeline_is_answered_in_order() {
    let server = Server::start().await;
    let (mut read, mut write) = server.raw().await.0.into_split();
    let count = 20_000;
    let writing = tokio::spawn(async move {
        for number in 0..count {
            write.write_all(frame(&["ECHO", &number.to_string()]).as_bytes()).await.unwrap();
        }
        write.shutdown().await.unwrap();
    });
    let mut all = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut read, &mut all).await.unwrap();
    writing.await.unwrap();
    let numbers = all.lines().filter(|line| !line.starts_with('$'));
    assert!(numbers.eq((0..count).map(|number| number.to_string())));
}

#[tokio::test]
async fn answer_that_is_too_large_is_an_error() {
    let server = Server::limited(AtlantisServiceConfig::new().with_output_bytes(300)).await;
    let mut client = server.client(None).await;
    for number in 0..20 {
        let lock = lock("acme/infra", &format!("folder-{number}"), "default", 7);
        ask::<String>(&mut client, &["SET", &key(&lock), &text(&lock)]).await.unwrap();
    }
    let refused = ask::<(String, Vec<String>)>(&mut client, &["SCAN", "0", "MATCH", "pr/*"]).await;
    assert!(refused.unwrap_err().contains("output-bytes"));
    assert_eq!(ask(&mut client, &["PING"]).await, Ok("PONG".to_owned()));
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let server = Server::limited(AtlantisServiceConfig::new().with_connections(2)).await;
    let (mut one, mut two) = (server.raw().await, server.raw().await);
    for raw in [&mut one, &mut two] {
        raw.send(frame(&["PING"])).await;
        raw.expect("+PONG\r\n").await;
    }
    let mut third = server.raw().await;
    third.send(frame(&["PING"])).await;
    let early = tokio::time::timeout(Duration::from_millis(100), third.expect("+PONG\r\n")).await;
    assert!(early.is_err());
    drop(one);
    let mut fourth = server.raw().await;
    drop(third);
    drop(two);
    fourth.send(frame(&["PING"])).await;
    fourth.expect("+PONG\r\n").await;
}

#[tokio::test]
async fn many_connections_are_served() {
    let count = 500;
    let server = Server::limited(AtlantisServiceConfig::new().with_connections(count)).await;
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut raw = server.raw().await;
        raw.send(frame(&["PING"])).await;
        connections.push(raw);
    }
    for raw in &mut connections {
        raw.expect("+PONG\r\n").await;
    }
    // All at once, once more.
    for raw in &mut connections {
        raw.send(frame(&["GET", "pr/acme/infra/./default/"])).await;
    }
    for raw in &mut connections {
        raw.expect("$-1\r\n").await;
    }
}
