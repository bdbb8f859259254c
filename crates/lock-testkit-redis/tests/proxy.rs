//! The faults of the proxy, each between a client and a real server.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::io::ErrorKind;
use std::time::Duration;

use lock_testkit_redis::client::Client;
use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::RedisServer;
use tokio::time::{Instant, timeout};

/// Longer than any answer takes that comes at all.
const LONG: Duration = Duration::from_millis(200);
/// Longer than anything takes.
const TOO_LONG: Duration = Duration::from_secs(20);

/// A server, and a client that reaches it through a proxy.
struct Line {
    server: RedisServer,
    proxy: Proxy,
    client: Client,
}

impl Line {
    async fn start() -> Self {
        let server = RedisServer::start().await;
        let proxy = Proxy::start(server.addr()).await;
        let client = connect(&proxy).await;
        Self { server, proxy, client }
    }

    /// Counters of the server, read past the proxy.
    async fn count(&self) -> String {
        self.server.command(&["GET", "count"]).await
    }
}

/// Connects through the proxy and all the way to the server.
async fn connect(proxy: &Proxy) -> Client {
    let mut client = Client::connect(proxy.addr()).await.unwrap();
    assert_eq!(client.command(&["PING"]).await.unwrap(), "PONG");
    client
}

async fn increment(client: &mut Client) -> String {
    timeout(TOO_LONG, client.command(&["INCR", "count"])).await.unwrap().unwrap()
}

async fn error(client: &mut Client) -> ErrorKind {
    timeout(TOO_LONG, client.receive()).await.unwrap().unwrap_err().kind()
}

async fn is_silent(client: &mut Client) -> bool {
    timeout(LONG, client.receive()).await.is_err()
}

#[tokio::test]
async fn without_a_fault_everything_goes_through() {
    let Line { server, proxy, mut client } = Line::start().await;
    assert_eq!(proxy.url(), format!("redis://{}/", proxy.addr()));
    assert_eq!(increment(&mut client).await, "1");
    let long = "x".repeat(1 << 20);
    assert_eq!(client.command(&["SET", "long", &long]).await.unwrap(), "OK");
    assert_eq!(client.command(&["GET", "long"]).await.unwrap(), long);
    for _ in 0..100 {
        client.send(&["INCR", "count"]).await.unwrap();
    }
    for count in 2..102 {
        assert_eq!(client.receive().await.unwrap(), count.to_string());
    }
    server.kill().await;
    assert_eq!(error(&mut client).await, ErrorKind::UnexpectedEof);
    proxy.until_connections(0).await;
}

#[tokio::test]
async fn connections_and_requests_are_counted() {
    let Line { server: _server, proxy, mut client } = Line::start().await;
    assert_eq!((proxy.connections(), proxy.accepted()), (1, 1));
    let mut other = connect(&proxy).await;
    assert_eq!((proxy.connections(), proxy.accepted()), (2, 2));
    increment(&mut client).await;
    increment(&mut other).await;
    drop(client);
    proxy.until_connections(1).await;
    proxy.until_accepted(2).await;
    assert_eq!(proxy.accepted(), 2);
    assert_eq!(proxy.requests_containing(b"INCR"), 2);
    assert_eq!(proxy.requests_containing(b"PING"), 2);
    assert_eq!(proxy.requests_containing(b""), 4);
    assert_eq!(proxy.requests_containing(b"DECR"), 0);
}

#[tokio::test]
async fn a_delay_comes_each_way_and_only_once_for_what_is_sent_together() {
    let Line { server: _server, proxy, mut client } = Line::start().await;
    proxy.delay(LONG);
    let start = Instant::now();
    for _ in 0..20 {
        client.send(&["INCR", "count"]).await.unwrap();
        tokio::task::yield_now().await;
    }
    for count in 1..=20 {
        assert_eq!(client.receive().await.unwrap(), count.to_string());
    }
    let took = start.elapsed();
    assert!(took >= LONG * 2 && took < LONG * 8, "{took:?}");
    proxy.heal();
    let start = Instant::now();
    increment(&mut client).await;
    assert!(start.elapsed() < LONG);
}

#[tokio::test]
async fn swallowed_replies_are_those_of_requests_that_were_done() {
    let mut line = Line::start().await;
    line.proxy.swallow_replies();
    line.client.send(&["INCR", "count"]).await.unwrap();
    assert!(is_silent(&mut line.client).await);
    assert_eq!(line.count().await, "1");
    let mut other = Client::connect(line.proxy.addr()).await.unwrap();
    other.send(&["INCR", "count"]).await.unwrap();
    assert!(is_silent(&mut other).await);
    line.proxy.heal();
    assert_eq!(increment(&mut line.client).await, "3");
    assert_eq!(increment(&mut other).await, "4");
}

#[tokio::test]
async fn a_black_hole_swallows_requests_and_keeps_connections() {
    let mut line = Line::start().await;
    line.proxy.black_hole();
    line.client.send(&["INCR", "count"]).await.unwrap();
    let mut other = Client::connect(line.proxy.addr()).await.unwrap();
    other.send(&["INCR", "count"]).await.unwrap();
    assert!(is_silent(&mut line.client).await && is_silent(&mut other).await);
    assert_eq!(line.count().await, "(nil)");
    assert_eq!(line.proxy.requests_containing(b"INCR"), 0);
    line.proxy.heal();
    assert_eq!(increment(&mut line.client).await, "1");
    assert_eq!(increment(&mut other).await, "2");
}

#[tokio::test]
async fn in_a_black_hole_the_loss_of_the_server_goes_unnoticed() {
    let Line { server, proxy, mut client } = Line::start().await;
    proxy.black_hole();
    server.kill().await;
    let mut late = Client::connect(proxy.addr()).await.unwrap();
    proxy.until_accepted(2).await;
    assert!(is_silent(&mut client).await && is_silent(&mut late).await);
    assert_eq!(proxy.connections(), 2);
    proxy.heal();
    error(&mut client).await;
    error(&mut late).await;
}

#[tokio::test]
async fn stalled_messages_arrive_later_even_after_their_sender_left() {
    let mut line = Line::start().await;
    let mut leaver = connect(&line.proxy).await;
    line.proxy.stall();
    line.client.send(&["INCR", "count"]).await.unwrap();
    assert!(is_silent(&mut line.client).await);
    leaver.send(&["INCR", "late"]).await.unwrap();
    drop(leaver);
    line.proxy.until_connections(1).await;
    assert_eq!(line.server.command(&["EXISTS", "count", "late"]).await, "0");
    line.proxy.heal();
    line.proxy.until_requests(b"late", 1).await;
    let done = async {
        while line.server.command(&["MGET", "count", "late"]).await != "1\n1" {
            tokio::task::yield_now().await;
        }
    };
    timeout(TOO_LONG, done).await.unwrap();
}

#[tokio::test]
async fn a_cut_resets_what_is_open_and_nothing_else() {
    let Line { server: _server, proxy, mut client } = Line::start().await;
    proxy.cut();
    assert_eq!(error(&mut client).await, ErrorKind::ConnectionReset);
    proxy.until_connections(0).await;
    assert_eq!(increment(&mut connect(&proxy).await).await, "1");
}

#[tokio::test]
async fn half_open_connections_are_silent_for_ever_and_new_ones_work() {
    let mut line = Line::start().await;
    let clients = line.server.info("connected_clients").await.unwrap();
    assert_eq!(clients, "2", "the one through the proxy and the one that asks");
    line.proxy.half_open();
    let closed = async { while line.server.info("connected_clients").await.unwrap() != "1" {} };
    timeout(TOO_LONG, closed).await.unwrap();
    line.client.send(&["INCR", "count"]).await.unwrap();
    assert!(is_silent(&mut line.client).await);
    assert_eq!(increment(&mut connect(&line.proxy).await).await, "1");
    line.proxy.heal();
    assert!(is_silent(&mut line.client).await);
    line.proxy.cut();
    assert_eq!(error(&mut line.client).await, ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn refused_are_only_new_connections() {
    let Line { server: _server, proxy, mut client } = Line::start().await;
    proxy.refuse();
    // The reset may come before the client knows that it was connected.
    let refused = async { Client::connect(proxy.addr()).await?.command(&["PING"]).await };
    timeout(TOO_LONG, refused).await.unwrap().unwrap_err();
    assert_eq!(increment(&mut client).await, "1");
    assert_eq!(proxy.accepted(), 1);
    proxy.heal();
    assert_eq!(increment(&mut connect(&proxy).await).await, "2");
}

#[tokio::test]
async fn the_reply_to_one_request_is_lost_with_all_that_follow_on_its_connection() {
    let mut line = Line::start().await;
    let mut other = connect(&line.proxy).await;
    line.proxy.lose_replies_to(b"INCR");
    assert_eq!(line.client.command(&["GET", "count"]).await.unwrap(), "(nil)");
    line.client.send(&["INCR", "count"]).await.unwrap();
    line.proxy.until_requests(b"INCR", 1).await;
    line.client.send(&["PING"]).await.unwrap();
    assert!(is_silent(&mut line.client).await);
    assert_eq!(increment(&mut other).await, "2");
    line.proxy.heal();
    assert_eq!(increment(&mut line.client).await, "3");
}

#[tokio::test]
async fn a_connection_is_cut_after_the_server_has_done_the_request() {
    let mut line = Line::start().await;
    for round in 1..=50 {
        let mut client = connect(&line.proxy).await;
        line.proxy.lose_replies_and_cut(b"INCR");
        // What is sent before and after it must not hasten the end.
        for words in [&["PING"][..], &["INCR", "count"], &["SET", "after", "this"]] {
            client.send(words).await.unwrap();
        }
        let mut answer = timeout(TOO_LONG, client.receive()).await.unwrap();
        if answer.as_deref().is_ok_and(|answer| answer == "PONG") {
            answer = timeout(TOO_LONG, client.receive()).await.unwrap();
        }
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(line.count().await, round.to_string());
    }
    assert_eq!(line.server.command(&["EXISTS", "after"]).await, "0");
    assert_eq!(increment(&mut line.client).await, "51");
}

#[tokio::test]
async fn a_dropped_proxy_closes_everything() {
    let Line { server: _server, proxy, mut client } = Line::start().await;
    let addr = proxy.addr();
    drop(proxy);
    error(&mut client).await;
    assert_eq!(Client::connect(addr).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
