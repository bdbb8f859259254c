//! A service on a port of its own, and a client of it.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]
#![allow(dead_code, clippy::allow_attributes, reason = "not every test binary uses everything")]

pub(crate) mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;

use lock_core::LockStore;
use lock_memory::MemoryBackend;
use lock_server::{Service, ServiceConfig};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A service on a port of its own, which ends when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) service: Service,
    client: Client,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::on(Arc::new(MemoryBackend::new()), ServiceConfig::new()).await
    }

    pub(crate) async fn on(store: Arc<dyn LockStore>, config: ServiceConfig) -> Self {
        let metrics = || "# metrics\n".to_owned();
        Self::of(Service::new(store, config).with_metrics(metrics)).await
    }

    pub(crate) async fn of(service: Service) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serves = service.clone();
        let serving = tokio::spawn(async move {
            serves.serve(listener, std::future::pending()).await;
        });
        Self { address, service, client: Client::new(), serving }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.url(path))
    }

    /// A request whose answer is not followed elsewhere.
    pub(crate) fn no_redirect(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build();
        client.unwrap().request(method, self.url(path))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        answer(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path)).await
    }

    /// Returns when this many requests wait for the key.
    pub(crate) async fn waiting(&self, key: &str, count: u64) {
        while self.get(&format!("/v1/locks/{key}")).await.1["value"]["waiting"] != count {
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let (status, kind) = (response.status(), response.headers().get("content-type").cloned());
    let body = response.bytes().await.unwrap();
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(kind.unwrap(), "application/problem+json", "{status}");
    }
    let value = match body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&body).unwrap(),
    };
    (status, value)
}
