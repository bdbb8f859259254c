//! The metrics of the service, their table and their export.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::Server;
use common::tokens::of_each_role;
use lock_memory::MemoryBackend;
use lock_server::{METRICS, Service, ServiceConfig};
use lock_testkit::telemetry::{Figures, differences, documented};
use metrics_util::debugging::DebuggingRecorder;
use reqwest::{Method, StatusCode};
use serde_json::json;

const DOCUMENT: &str = include_str!("../../../docs/metrics.md");

#[tokio::test]
async fn requests_and_connections_are_counted_as_the_table_says() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let server = Server::start().await;
    let asks = json!({ "key": "secret/key", "owner": "alice" });
    assert_eq!(server.post("/v1/acquire", &asks).await.0, StatusCode::OK);
    for path in ["/v1/locks/secret/key", "/v1/locks/other", "/none"] {
        server.get(path).await;
    }
    let made_up = Method::from_bytes(b"SECRET").unwrap();
    assert_eq!(
        server.request(made_up, "/livez").send().await.unwrap().status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
    let figures = Figures::take(&snapshotter);
    let count = |method, route, status| {
        let labels = [("method", method), ("route", route), ("status", status)];
        figures.sum("lock_http_requests_total", &labels)
    };
    assert_eq!(count("POST", "/v1/acquire", "200"), 1.0);
    assert_eq!(count("GET", "/v1/locks/{*key}", "200"), 2.0);
    assert_eq!(count("GET", "none", "404"), 1.0);
    assert_eq!(count("other", "/livez", "405"), 1.0);
    assert_eq!(figures.sum("lock_http_requests_total", &[]), 5.0);
    // The client keeps its connection.
    assert_eq!(figures.sum("lock_http_connections", &[]), 1.0);
    let (table, recorded) = (documented(DOCUMENT, "lock-server"), figures.rows("lock_http_"));
    let differences = differences(&table, &recorded, &["lock_http_requests_total"]);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(METRICS.iter().all(|metric| table.contains_key(metric.name)));
    assert_eq!(METRICS.len(), table.len());
    assert!(!format!("{recorded:?}").to_lowercase().contains("secret"));
}

#[tokio::test]
async fn long_polls_that_wait_are_counted_while_they_do() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let server = Arc::new(Server::start().await);
    let waiting = || Figures::take(&snapshotter).sum("lock_waiting", &[]);
    let ask = |owner: &str| json!({ "key": "key", "owner": owner, "wait_ms": 60_000 });
    let (_, held) = server.post("/v1/acquire", &ask("alice")).await;
    let polls = tokio::spawn({
        let (server, bob) = (Arc::clone(&server), ask("bob"));
        async move { server.post("/v1/acquire", &bob).await.0 }
    });
    let in_time = tokio::time::timeout(Duration::from_secs(10), server.waiting("key", 1));
    in_time.await.expect("a waiter");
    assert_eq!(waiting(), 1.0);
    server.post("/v1/release", &held["lease"]).await;
    assert_eq!(polls.await.unwrap(), StatusCode::OK);
    assert_eq!(waiting(), -1.0);
}

#[tokio::test]
async fn metrics_are_rendered_for_readers() {
    let (access, [(_, reader), ..]) = of_each_role();
    let service = Service::new(Arc::new(MemoryBackend::new()), ServiceConfig::new());
    let service = service.with_access(access).with_metrics(|| "lock_held 7\n".to_owned());
    let server = Server::of(service).await;
    let ask = || server.request(Method::GET, "/metrics");
    assert_eq!(ask().send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let answer = ask().bearer_auth(reader).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4");
    assert_eq!(answer.text().await.unwrap(), "lock_held 7\n");
}

#[tokio::test]
async fn service_without_an_exporter_says_so() {
    let service = Service::new(Arc::new(MemoryBackend::new()), ServiceConfig::new());
    let (status, problem) = Server::of(service).await.get("/metrics").await;
    assert_eq!((status, &problem["kind"]), (StatusCode::NOT_IMPLEMENTED, &json!("unsupported")));
}
