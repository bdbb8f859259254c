//! The JSON API, over a real connection.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Server, answer};
use lock_core::{LockStore, RequestId};
use lock_memory::MemoryBackend;
use lock_server::ServiceConfig;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

fn asks(key: &str, owner: &str) -> Value {
    json!({ "key": key, "owner": owner })
}

fn waits(key: &str, owner: &str, wait_ms: u64) -> Value {
    json!({ "key": key, "owner": owner, "wait_ms": wait_ms, "request": RequestId::random() })
}

async fn acquired(server: &Server, body: &Value) -> Value {
    let (status, answer) = server.post("/v1/acquire", body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["lease"].clone()
}

#[tokio::test]
async fn lease_is_acquired_renewed_and_released() {
    let server = Server::start().await;
    let lease = acquired(&server, &asks("deploy", "alice")).await;
    assert_eq!(lease["owner"], "alice");
    // A lease is handed back as it came.
    let (status, renewed) = server.post("/v1/renew", &lease).await;
    assert_eq!(status, StatusCode::OK);
    assert!(renewed["expires_at"].as_u64() >= lease["expires_at"].as_u64());
    let (status, released) = server.post("/v1/release", &lease).await;
    assert_eq!((status, &released["released"]), (StatusCode::OK, &json!("deploy")));
    let (status, problem) = server.post("/v1/release", &lease).await;
    assert_eq!((status, &problem["kind"]), (StatusCode::CONFLICT, &json!("not_held")));
    assert_eq!(problem["outcome"], "did_not_happen");
}

#[tokio::test]
async fn held_key_is_refused_with_its_holder() {
    let server = Server::start().await;
    acquired(&server, &asks("deploy", "alice")).await;
    let (status, problem) = server.post("/v1/acquire", &asks("deploy", "bob")).await;
    assert_eq!((status, &problem["kind"]), (StatusCode::CONFLICT, &json!("wait_over")));
    assert_eq!(problem["position"]["value"]["holder"]["owner"], "alice");
    // One who asks once joins no queue.
    let (_, seen) = server.get("/v1/locks/deploy").await;
    assert_eq!(seen["value"]["waiting"], 0);
}

/// Two clients that wait for each other: one is told, and loses its place.
#[tokio::test]
async fn deadlock_of_two_sessions_is_told() {
    let server = Arc::new(Server::start().await);
    let sessions = ["0", "1"].map(|digit| digit.repeat(32));
    let asks = |key: &str, session: &str, wait_ms: u64| json!({ "key": key, "owner": key, "session": session, "wait_ms": wait_ms });
    acquired(&server, &asks("a", &sessions[0], 0)).await;
    let held = acquired(&server, &asks("b", &sessions[1], 0)).await;
    let (waiting, body) = (Arc::clone(&server), asks("b", &sessions[0], 60_000));
    let waits = tokio::spawn(async move { waiting.post("/v1/acquire", &body).await });
    server.waiting("b", 1).await;
    let (status, problem) = server.post("/v1/acquire", &asks("a", &sessions[1], 60_000)).await;
    assert_eq!((status, &problem["kind"]), (StatusCode::CONFLICT, &json!("deadlock")));
    let words = problem["detail"].as_str().unwrap();
    assert!(words.contains("waits for `a`, held by"), "{words}");
    server.waiting("a", 0).await;
    assert_eq!(server.post("/v1/release", &held).await.0, StatusCode::OK);
    assert_eq!(waits.await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn waiters_are_served_in_their_order() {
    let server = Arc::new(Server::start().await);
    let held = acquired(&server, &asks("deploy", "alice")).await;
    let mut waiting = Vec::new();
    for (number, owner) in (1..).zip(["bob", "carol"]) {
        let (at, body) = (Arc::clone(&server), waits("deploy", owner, 60_000));
        waiting.push(tokio::spawn(async move { acquired(&at, &body).await }));
        server.waiting("deploy", number).await;
    }
    server.post("/v1/release", &held).await;
    let carol = waiting.pop().unwrap();
    let bob = waiting.pop().unwrap().await.unwrap();
    assert_eq!(bob["owner"], "bob");
    assert!(!carol.is_finished());
    server.post("/v1/release", &bob).await;
    let carol = carol.await.unwrap();
    assert!(carol["token"].as_u64() > bob["token"].as_u64());
}

/// A wait that is over, a connection that breaks and a service that is restarted keep the place.
#[tokio::test]
async fn place_outlives_connection_and_service() {
    let store: Arc<dyn LockStore> = Arc::new(MemoryBackend::new());
    let server = Server::on(Arc::clone(&store), ServiceConfig::new()).await;
    let held = acquired(&server, &asks("deploy", "alice")).await;
    let bob = waits("deploy", "bob", 1);
    let (status, problem) = server.post("/v1/acquire", &bob).await;
    assert_eq!((status, &problem["request"]), (StatusCode::CONFLICT, &bob["request"]));
    assert_eq!(problem["position"]["value"]["position"], 1);
    // His next call is cut off by the end of the service.
    let mut again = bob.clone();
    again["wait_ms"] = json!(600_000);
    let cut = server.request(Method::POST, "/v1/acquire").json(&again);
    let cut = tokio::spawn(async move { cut.send().await.unwrap().status() });
    let carol =
        server.request(Method::POST, "/v1/acquire").json(&waits("deploy", "carol", 600_000));
    let carol = tokio::spawn(async move { carol.send().await.unwrap().status() });
    server.waiting("deploy", 2).await;
    server.service.shutdown().await;
    assert_eq!(cut.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(carol.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    drop(server);
    let server = Server::on(store, ServiceConfig::new()).await;
    server.post("/v1/release", &held).await;
    let lease = acquired(&server, &again).await;
    assert_eq!(lease["owner"], "bob");
    // Asked once more, it is the same lease.
    assert_eq!(acquired(&server, &again).await["token"], lease["token"]);
}

#[tokio::test]
async fn cancelled_request_takes_no_lock() {
    let server = Server::start().await;
    let held = acquired(&server, &asks("deploy", "alice")).await;
    let bob = waits("deploy", "bob", 1);
    server.post("/v1/acquire", &bob).await;
    let cancel = json!({ "key": "deploy", "request": bob["request"] });
    let (_, cancelled) = server.post("/v1/cancel", &cancel).await;
    assert_eq!(cancelled["cancelled"], "dequeued");
    server.post("/v1/release", &held).await;
    let (status, problem) = server.post("/v1/acquire", &bob).await;
    assert_eq!((status, &problem["kind"]), (StatusCode::GONE, &json!("ended")));
}

#[tokio::test]
async fn evicted_holder_learns_by_whom_and_why() {
    let server = Server::start().await;
    let lease = acquired(&server, &asks("deploy", "alice")).await;
    let evict = json!({ "key": "deploy", "by": "ops", "reason": "stuck" });
    let (status, evicted) = server.post("/v1/evict", &evict).await;
    assert_eq!(
        (status, &evicted["value"]["leases"][0]["owner"]),
        (StatusCode::OK, &json!("alice"))
    );
    let (status, problem) = server.post("/v1/renew", &lease).await;
    assert_eq!(status, StatusCode::GONE);
    assert_eq!(problem["end"]["evicted"]["by"], "ops");
    assert_eq!(problem["end"]["evicted"]["reason"], "stuck");
}

#[tokio::test]
async fn lease_is_transferred_to_a_waiter_or_an_owner() {
    let server = Server::start().await;
    let lease = acquired(&server, &asks("deploy", "alice")).await;
    let bob = waits("deploy", "bob", 1);
    server.post("/v1/acquire", &bob).await;
    let to = json!({ "lease": lease, "by": "alice", "to": { "waiter": bob["request"] } });
    let (status, transferred) = server.post("/v1/transfer", &to).await;
    assert_eq!(status, StatusCode::OK, "{transferred}");
    assert_eq!(transferred["lease"]["owner"], "bob");
    let to = json!({ "lease": transferred["lease"], "by": "bob", "to": { "owner": { "owner": "eve" } } });
    let (_, transferred) = server.post("/v1/transfer", &to).await;
    assert_eq!(transferred["lease"]["owner"], "eve");
    let (status, problem) = server.post("/v1/transfer", &to).await;
    assert_eq!((status, &problem["kind"]), (StatusCode::GONE, &json!("not_held")));
}

#[tokio::test]
async fn locks_and_waits_are_listed() {
    let server = Server::start().await;
    for key in ["a/1", "a/2", "b/1"] {
        acquired(&server, &asks(key, "alice")).await;
    }
    server.post("/v1/acquire", &waits("b/1", "bob", 1)).await;
    let (_, page) = server.get("/v1/locks?prefix=a/&limit=1").await;
    let (_, rest) = server
        .get(&format!("/v1/locks?prefix=a/&after={}", page["value"]["next"].as_str().unwrap()))
        .await;
    let keys = |page: &Value| page["value"]["items"].as_array().unwrap().len();
    assert_eq!(keys(&page) + keys(&rest), 2);
    let (_, waits) = server.get("/v1/waits?owner=bob").await;
    assert_eq!(waits["value"]["items"][0]["owner"], "bob");
    let (_, seen) = server.get("/v1/locks/b/1").await;
    assert_eq!((&seen["value"]["holders"], &seen["value"]["waiting"]), (&json!(1), &json!(1)));
}

/// The connection is the lease: it is renewed while it is open, and released when it is closed.
#[tokio::test]
async fn connection_holds_a_key() {
    let config = ServiceConfig::new().with_pulse(Duration::from_millis(5));
    let server = Server::on(Arc::new(MemoryBackend::new()), config).await;
    let asks = asks("deploy", "alice");
    let mut held = server.request(Method::POST, "/v1/hold").json(&asks).send().await.unwrap();
    let mut line = async || {
        let bytes = held.chunk().await.unwrap()?;
        Some(serde_json::from_slice::<Value>(&bytes).unwrap())
    };
    assert_eq!(line().await.unwrap()["lease"]["owner"], "alice");
    assert_eq!(line().await.unwrap(), json!({ "held": true }));
    let (status, _) = server.post("/v1/acquire", &asks).await;
    assert_eq!(status, StatusCode::CONFLICT);
    drop(held);
    acquired(&server, &waits("deploy", "bob", 60_000)).await;
}

#[tokio::test]
async fn connection_that_holds_ends_with_the_lease() {
    let server = Server::start().await;
    let held = server.request(Method::POST, "/v1/hold").json(&asks("deploy", "alice"));
    let mut held = held.send().await.unwrap();
    assert!(held.chunk().await.unwrap().is_some());
    server.post("/v1/evict", &json!({ "key": "deploy", "by": "ops", "reason": "stuck" })).await;
    let rest = held.text().await.unwrap();
    assert!(rest.contains("evicted by `ops`"), "{rest}");
}

/// Who lost the connection goes on after the last event that he saw.
#[tokio::test]
async fn events_go_on_after_the_last_one_seen() {
    let server = Server::start().await;
    let mut events = server.request(Method::GET, "/v1/events").send().await.unwrap();
    let lease = acquired(&server, &asks("deploy", "alice")).await;
    let mut seen = String::new();
    while !seen.contains("\n\n") {
        seen += str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap();
    }
    assert!(seen.contains("event: change") && seen.contains("\"granted\""), "{seen}");
    drop(events);
    server.post("/v1/release", &lease).await;
    let id = seen.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let again = server.request(Method::GET, "/v1/events").header("last-event-id", id);
    let mut again = again.send().await.unwrap();
    let next = again.chunk().await.unwrap().unwrap();
    let next = str::from_utf8(&next).unwrap();
    assert!(next.contains("\"released\""), "{next}");
}

#[tokio::test]
async fn connection_that_holds_ends_with_the_service() {
    let store: Arc<dyn LockStore> = Arc::new(MemoryBackend::new());
    let server = Server::on(Arc::clone(&store), ServiceConfig::new()).await;
    let held = server.request(Method::POST, "/v1/hold").json(&asks("deploy", "alice"));
    let held = held.send().await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.service.shutdown()).await.unwrap();
    let lines = held.text().await.unwrap();
    assert!(lines.contains("shut down"), "{lines}");
    let server = Server::on(store, ServiceConfig::new()).await;
    acquired(&server, &asks("deploy", "bob")).await;
}

#[tokio::test]
async fn watch_ends_with_the_service() {
    let server = Server::start().await;
    let events = server.request(Method::GET, "/v1/events").send().await.unwrap();
    server.service.shutdown().await;
    assert_eq!(events.text().await.unwrap(), "");
}

#[tokio::test]
async fn service_says_whether_it_serves() {
    let server = Server::start().await;
    assert_eq!(server.get("/livez").await.0, StatusCode::NO_CONTENT);
    assert_eq!(server.get("/readyz").await.0, StatusCode::NO_CONTENT);
    let (_, health) = server.get("/v1/health").await;
    assert!(health["store"].as_str().unwrap().starts_with("memory"), "{health}");
    assert!(health["grants"] == true && health["round_trip_us"].is_u64(), "{health}");
}

/// Bad input is refused with the field and the limit, and changes nothing.
#[tokio::test]
async fn bad_input_is_refused_in_words() {
    let server = Server::start().await;
    let long = "x".repeat(1025);
    for (body, words) in [
        (json!({ "owner": "alice" }), "missing field `key`"),
        (json!({ "key": "", "owner": "alice" }), "key"),
        (json!({ "key": long, "owner": "alice" }), "1024"),
        (json!({ "key": "a\nb", "owner": "alice" }), "control"),
        (json!({ "key": "a", "owner": "alice", "ttl": { "for": 0 } }), "ttl"),
        (json!({ "key": "a", "owner": "alice", "wait_ms": -1 }), "wait_ms"),
        (json!({ "key": "a", "owner": "alice", "wait_ms": 3_600_001 }), "3600000"),
        (json!({ "key": "a", "owner": "alice", "request": "mine" }), "request"),
        (json!({ "key": "a", "owner": "alice", "wait": 1 }), "unknown field `wait`"),
    ] {
        let (status, problem) = server.post("/v1/acquire", &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{body}: {detail}");
        assert_eq!(problem["outcome"], "did_not_happen");
    }
    let (_, page) = server.get("/v1/locks").await;
    assert_eq!(page["value"]["items"], json!([]));
}

#[tokio::test]
async fn broken_requests_are_refused() {
    let server = Server::start().await;
    let status = async |request: reqwest::RequestBuilder| answer(request).await.0;
    let post = || server.request(Method::POST, "/v1/acquire");
    let json = ("content-type", "application/json");
    assert_eq!(status(post().header(json.0, json.1).body("{")).await, StatusCode::BAD_REQUEST);
    assert_eq!(status(post().body("{}")).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let huge = "x".repeat(2 * 1024 * 1024);
    assert_eq!(
        status(post().header(json.0, json.1).body(huge)).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let get = |path| server.request(Method::GET, path);
    assert_eq!(status(get("/v1/acquire")).await, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(status(get("/v2/locks")).await, StatusCode::NOT_FOUND);
    assert_eq!(status(get("/v1/locks/%ff")).await, StatusCode::BAD_REQUEST);
    assert_eq!(status(get("/v1/locks/%00")).await, StatusCode::BAD_REQUEST);
    assert_eq!(status(get("/v1/locks?after=mine")).await, StatusCode::BAD_REQUEST);
    assert_eq!(status(get("/v1/waits")).await, StatusCode::BAD_REQUEST);
    assert_eq!(status(get("/v1/locks?limit=0")).await, StatusCode::BAD_REQUEST);
}
