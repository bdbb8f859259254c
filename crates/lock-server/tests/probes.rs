//! `/livez` and `/readyz`.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::Server;
use lock_core::Operation;
use lock_memory::MemoryBackend;
use lock_server::ServiceConfig;
use lock_testkit::{Fault, Faulty};
use reqwest::StatusCode;
use serde_json::json;

/// A store that is silent or fails makes the service not ready, and alive still.
#[tokio::test]
async fn service_is_ready_while_its_store_answers_in_time() {
    let store = Faulty::new(MemoryBackend::new());
    let config = ServiceConfig::new().with_ready_timeout(Duration::from_millis(20));
    let server = Server::on(Arc::new(store.clone()), config).await;
    assert_eq!(server.get("/readyz").await.0, StatusCode::NO_CONTENT);
    for fault in [Fault::Hangs, Fault::Refused] {
        store.inject(Operation::Health, fault);
        let ready = tokio::time::timeout(Duration::from_secs(5), server.get("/readyz"));
        let (status, problem) = ready.await.expect("an answer");
        assert_eq!(
            (status, &problem["kind"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable"))
        );
        // Nobody is asked for a token here, so nothing is told of the store.
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|it| it.starts_with("the store does not answer"))
        );
        assert_eq!(server.get("/livez").await.0, StatusCode::NO_CONTENT);
        store.heal();
        assert_eq!(server.get("/readyz").await.0, StatusCode::NO_CONTENT);
    }
}

/// A store that answers and grants nothing, as a replica does, makes the service not ready.
#[tokio::test]
async fn service_whose_store_grants_no_locks_is_not_ready() {
    let store = Faulty::new(MemoryBackend::new());
    let server = Server::on(Arc::new(store.clone()), ServiceConfig::new()).await;
    store.stand_by();
    let (status, problem) = server.get("/readyz").await;
    assert_eq!(
        (status, &problem["detail"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("the store grants no locks now"))
    );
    assert_eq!(server.get("/v1/health").await.1["grants"], false);
    store.heal();
    assert_eq!(server.get("/readyz").await.0, StatusCode::NO_CONTENT);
}

/// Whoever sends requests here learns that they should go elsewhere.
#[tokio::test]
async fn service_that_ends_is_alive_and_not_ready() {
    let server = Server::start().await;
    server.service.shutdown().await;
    let (status, problem) = server.get("/readyz").await;
    assert_eq!((status, &problem["kind"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("shut_down")));
    assert_eq!(server.get("/livez").await.0, StatusCode::NO_CONTENT);
}
