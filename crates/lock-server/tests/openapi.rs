//! `openapi.json`, compared with the service.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod common;
mod schema;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::Server;
use lock_core::RequestId;
use lock_memory::MemoryBackend;
use lock_server::ServiceConfig;
use reqwest::{Method, Response};
use schema::Description;
use serde_json::{Value, json};

/// A service whose answers are compared with the description.
struct Described {
    server: Server,
    description: Description,
    /// What was compared: method, path and status.
    compared: RefCell<BTreeSet<(String, String, u16)>>,
}

impl Described {
    async fn start() -> Self {
        let config = ServiceConfig::new().with_pulse(Duration::from_millis(5));
        let server = Server::on(Arc::new(MemoryBackend::new()), config).await;
        Self { server, description: Description::read(), compared: RefCell::default() }
    }

    /// Sends a request, and compares all of the answer but its body.
    async fn sent(&self, method: Method, path: &str, at: &str, body: Option<&Value>) -> Response {
        let mut request = self.server.request(method.clone(), at);
        if let Some(body) = body {
            let schema = &self.description.body(&method, path)["schema"];
            assert_eq!(self.description.faults(schema, body), [""; 0], "{path}: {body}");
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap());
        let described = self.description.answer(&method, path, status);
        let described = described["content"].as_object().map(|content| content.keys().next());
        assert_eq!(described.flatten().map(String::as_str), kind, "{path} {status}");
        self.compared.borrow_mut().insert((method.to_string(), path.to_owned(), status));
        response
    }

    /// Compares one value of an answer.
    fn fits(&self, method: &Method, path: &str, status: u16, value: &Value) {
        let answer = self.description.answer(method, path, status);
        let content = answer["content"].as_object().unwrap().values().next().unwrap();
        let faults = self.description.faults(&content["schema"], value);
        assert_eq!(faults, [""; 0], "{path} {status}: {value}");
    }

    async fn call(&self, method: Method, path: &str, at: &str, body: Option<&Value>) -> Value {
        let response = self.sent(method.clone(), path, at, body).await;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.unwrap();
        if bytes.is_empty() {
            return Value::Null;
        }
        let value = serde_json::from_slice(&bytes).unwrap();
        self.fits(&method, path, status, &value);
        value
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        self.call(Method::POST, path, path, Some(body)).await
    }

    async fn get(&self, path: &str, at: &str) -> Value {
        self.call(Method::GET, path, at, None).await
    }
}

#[tokio::test]
async fn description_is_served() {
    let server = Server::start().await;
    let (_, served) = server.get("/v1/openapi.json").await;
    assert_eq!(served, Description::read().document);
}

#[test]
fn every_example_fits_its_schema() {
    let description = Description::read();
    let mut count = 0;
    for content in description.contents() {
        for example in content["examples"].as_object().into_iter().flat_map(|it| it.values()) {
            let faults = description.faults(&content["schema"], &example["value"]);
            assert_eq!(faults, [""; 0], "{example}");
            count += 1;
        }
    }
    assert!(count >= 30, "{count} examples");
}

/// The service takes what the description shows, whether or not there is such a lease.
#[tokio::test]
async fn every_example_of_a_request_is_accepted() {
    let description = Description::read();
    for (method, path, operation) in description.operations() {
        for request in description.examples(&method, path, operation) {
            let server = Server::start().await;
            let sent = server.request(method.clone(), &request.at);
            let sent = match &request.body {
                Some(body) => sent.json(body),
                None => sent,
            };
            let status = sent.send().await.unwrap().status().as_u16();
            let is_accepted = status < 300 || matches!(status, 409 | 410);
            assert!(is_accepted, "{method} {}: {status}: {:?}", request.at, request.body);
        }
    }
}

/// Each kind of answer that a healthy store gives has no more and no less than is described.
#[tokio::test]
async fn answers_are_as_described() {
    let at = Described::start().await;
    let mut events = at.sent(Method::GET, "/v1/events", "/v1/events", None).await;
    let (shared, metadata) = (json!({ "shared": { "limit": 2 } }), json!({ "job": "7" }));
    let alice = json!({ "key": "a/1", "owner": "alice", "mode": shared, "metadata": metadata });
    let lease = at.post("/v1/acquire", &alice).await["lease"].clone();
    let request = RequestId::random();
    let bob = json!({ "key": "a/1", "owner": "bob", "request": request, "priority": "high", "wait_ms": 1 });
    assert_eq!(at.post("/v1/acquire", &bob).await["kind"], "wait_over");
    let hold = json!({ "key": "a/1", "owner": "carol", "wait_ms": 1 });
    assert_eq!(at.post("/v1/hold", &hold).await["kind"], "wait_over");
    at.get("/v1/locks", "/v1/locks?limit=1").await;
    at.get("/v1/locks/{key}", "/v1/locks/a/1").await;
    at.get("/v1/locks/{key}", "/v1/locks/free").await;
    at.get("/v1/waits", "/v1/waits?owner=bob").await;
    at.post("/v1/renew", &lease).await;
    let to = json!({ "lease": lease, "by": "alice", "to": { "waiter": RequestId::random() } });
    assert_eq!(at.post("/v1/transfer", &to).await["kind"], "refused");
    let to = json!({ "lease": lease, "by": "alice", "to": { "owner": { "owner": "carol" } } });
    let carols = at.post("/v1/transfer", &to).await["lease"].clone();
    assert_eq!(at.post("/v1/release", &lease).await["end"]["transferred"]["to"], "carol");
    let waiter =
        json!({ "key": "a/1", "by": "ops", "reason": "stuck", "target": { "waiter": request } });
    assert_eq!(at.post("/v1/evict", &waiter).await["value"]["waiter"]["owner"], "bob");
    assert_eq!(at.post("/v1/acquire", &bob).await["kind"], "ended");
    assert_eq!(at.post("/v1/hold", &bob).await["kind"], "ended");
    at.post("/v1/evict", &json!({ "key": "a/1", "by": "ops", "reason": "stuck" })).await;
    for path in ["/v1/renew", "/v1/release"] {
        assert_eq!(at.post(path, &carols).await["end"]["evicted"]["by"], "ops");
    }
    let to = json!({ "lease": carols, "by": "carol", "to": { "owner": { "owner": "eve" } } });
    at.post("/v1/transfer", &to).await;
    let forever = json!({ "key": "b", "owner": "alice", "ttl": "never" });
    let lease = at.post("/v1/acquire", &forever).await["lease"].clone();
    let never =
        json!({ "key": "b", "request": lease["request"], "token": lease["token"], "ttl": "never" });
    assert_eq!(at.post("/v1/renew", &never).await["expires_at"], Value::Null);
    let waits = json!({ "key": "b", "owner": "bob", "request": RequestId::random(), "wait_ms": 1 });
    at.post("/v1/acquire", &waits).await;
    at.post("/v1/cancel", &json!({ "key": "b", "request": waits["request"] })).await;
    at.post("/v1/release", &lease).await;
    for path in ["/v1/renew", "/v1/release"] {
        assert_eq!(at.post(path, &lease).await["kind"], "not_held");
    }
    held(&at).await;
    for path in ["/v1/health", "/livez", "/readyz", "/v1/openapi.json"] {
        at.get(path, path).await;
    }
    at.sent(Method::GET, "/metrics", "/metrics", None).await;
    for (path, query) in [("/v1/locks", "limit=0"), ("/v1/waits", ""), ("/v1/events", "a=b")] {
        at.get(path, &format!("{path}?{query}")).await;
    }
    watched(&at, &mut events).await;
    at.server.service.shutdown().await;
    assert_eq!(at.post("/v1/acquire", &forever).await["kind"], "shut_down");
    let compared = at.compared.borrow();
    for (method, path, operation) in at.description.operations() {
        for status in operation["responses"].as_object().unwrap().keys() {
            let status = status.parse().unwrap();
            let was = compared.contains(&(method.to_string(), path.to_owned(), status));
            assert!(was || status >= 400, "{method} {path} was not answered {status}");
        }
    }
}

/// The lines of a connection that holds a key, from the first to the last.
async fn held(at: &Described) {
    let asks = json!({ "key": "c", "owner": "alice" });
    let mut held = at.sent(Method::POST, "/v1/hold", "/v1/hold", Some(&asks)).await;
    let (mut seen, mut text) = (BTreeSet::new(), String::new());
    while let Some(chunk) = held.chunk().await.unwrap() {
        text += str::from_utf8(&chunk).unwrap();
        while let Some((line, rest)) = text.split_once('\n') {
            let line: Value = serde_json::from_str(line).unwrap();
            at.fits(&Method::POST, "/v1/hold", 200, &line);
            let kind = line.as_object().unwrap().keys().next().unwrap().clone();
            if kind == "held" {
                at.post("/v1/evict", &json!({ "key": "c", "by": "ops", "reason": "stuck" })).await;
            }
            seen.insert(kind);
            text = rest.to_owned();
        }
    }
    assert_eq!(seen, ["held", "lease", "lost"].map(str::to_owned).into());
}

/// The events until the last change that was made.
async fn watched(at: &Described, events: &mut Response) {
    let mut text = String::new();
    let mut kinds = BTreeSet::new();
    loop {
        while let Some((event, rest)) = text.split_once("\n\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            at.fits(&Method::GET, "/v1/events", 200, &data);
            let kind = data["change"].as_object().unwrap().keys().next().unwrap().clone();
            let is_last = kind == "evicted" && data["change"]["evicted"]["lease"]["key"] == "c";
            kinds.insert(kind);
            if is_last {
                let seen = ["cancelled", "evicted", "granted", "queued", "released"];
                let seen = seen.into_iter().chain(["transferred", "waiter_evicted"]);
                assert_eq!(kinds, seen.map(str::to_owned).collect());
                return;
            }
            text = rest.to_owned();
        }
        text += str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap();
    }
}
