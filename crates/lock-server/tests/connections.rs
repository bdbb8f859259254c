//! Connections of hostile and of slow clients, and the end of the service.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Server, answer};
use lock_memory::MemoryBackend;
use lock_server::{Service, ServiceConfig};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

async fn start(config: ServiceConfig) -> Server {
    Server::on(Arc::new(MemoryBackend::new()), config).await
}

/// A client that sends half of a head is cut off.
#[tokio::test]
async fn slow_head_is_cut_off() {
    let config = ServiceConfig::new().with_header_timeout(Duration::from_millis(20));
    let server = start(config).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"POST /v1/acquire HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut rest = Vec::new();
    // Without an answer, or with one that says that it took too long.
    let _ = slow.read_to_end(&mut rest).await;
    assert_eq!(server.get("/livez").await.0, StatusCode::NO_CONTENT);
}

/// Connections beyond the limit wait until others are closed, and then are served.
#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let server = start(ServiceConfig::new().with_connections(2)).await;
    let mut idle = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        // Its slot is taken when it is answered.
        assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
        idle.push(stream);
    }
    let third = server.request(Method::GET, "/livez").send();
    let third = tokio::spawn(third);
    tokio::task::yield_now().await;
    assert!(!third.is_finished());
    idle.pop();
    assert_eq!(third.await.unwrap().unwrap().status(), StatusCode::NO_CONTENT);
}

/// A page on another site cannot make a browser unlock a state, or read by a name that leads here.
#[tokio::test]
async fn pages_of_others_are_refused() {
    let server = start(ServiceConfig::new()).await;
    let forced = server.request(Method::POST, "/terraform/prod?unlock");
    let forced = forced.header("origin", "http://evil.example");
    assert_eq!(answer(forced).await.0, StatusCode::FORBIDDEN);
    let rebound = server.request(Method::GET, "/v1/locks").header("host", "evil.example:7420");
    assert_eq!(answer(rebound).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn nonsense_is_answered_or_cut_off() {
    let server = start(ServiceConfig::new()).await;
    let long = [b"GET /".to_vec(), vec![b'x'; 1 << 20]].concat();
    for bytes in [&b"\x00\x01\x02\r\n\r\n"[..], b"GET / HTTP/9.9\r\n\r\n", &long] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    }
    assert_eq!(server.get("/livez").await.0, StatusCode::NO_CONTENT);
}

/// The end of the service ends waits, which keep their places, and streams, which have no end.
#[tokio::test]
async fn service_ends_in_bounded_time() {
    let config = ServiceConfig::new().with_shutdown_timeout(Duration::from_millis(20));
    let service = Service::new(Arc::new(MemoryBackend::new()), config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let serves = service.clone();
    let serving =
        tokio::spawn(async move { serves.serve(listener, async { drop(ended.await) }).await });
    let client = reqwest::Client::new();
    let url = |path: &str| format!("http://{address}{path}");
    let acquire = |wait| {
        let body = json!({ "key": "deploy", "owner": "alice", "wait_ms": wait });
        client.post(url("/v1/acquire")).json(&body)
    };
    assert_eq!(acquire(0).send().await.unwrap().status(), StatusCode::OK);
    let mut events = client.get(url("/v1/events")).send().await.unwrap();
    let waits = tokio::spawn(acquire(600_000).send());
    // An event says that it waits.
    while !events.chunk().await.unwrap().unwrap().windows(6).any(|it| it == b"queued") {}
    end.send(()).unwrap();
    serving.await.unwrap();
    assert_eq!(waits.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    while let Ok(Some(_)) = events.chunk().await {}
    client.get(url("/livez")).send().await.unwrap_err();
}
