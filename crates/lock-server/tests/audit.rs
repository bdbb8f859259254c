//! The audit log.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Bytes;
use common::tokens::{read, token};
use common::{Server, answer};
use lock_core::{FencingToken, RequestId};
use lock_memory::MemoryBackend;
use lock_server::{
    Access, AuditLog, FileStates, Refused, Role, Service, ServiceConfig, StateError, StateName,
    StateStore, Write,
};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

const LOCK: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// A service with an audit log, an operator and a user.
struct Audited {
    server: Server,
    log: AuditLog,
    folder: TempDir,
    operator: String,
    user: String,
}

impl Audited {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let states = Arc::new(FileStates::new(folder.path().join("states")));
        Self::with(states, folder).await
    }

    async fn with(states: Arc<dyn StateStore>, folder: TempDir) -> Self {
        Self::limited(states, folder, ServiceConfig::new()).await
    }

    async fn limited(states: Arc<dyn StateStore>, folder: TempDir, config: ServiceConfig) -> Self {
        let (operator, one) = token("ops", Role::Operate, &[]);
        let (user, other) = token("ci", Role::Use, &[]);
        let log = AuditLog::open(folder.path().join("audit.jsonl")).unwrap();
        let service = Service::new(Arc::new(MemoryBackend::new()), config);
        let service = service.with_access(Access::with_tokens(read(&[&one, &other])));
        let service = service.with_audit(log.clone()).with_terraform(states);
        let server = Server::of(service).await;
        Self { server, log, folder, operator, user }
    }

    fn operator(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.server.request(method, path).bearer_auth(&self.operator)
    }

    async fn user(&self, path: &str, body: &Value) -> Value {
        let request = self.server.request(Method::POST, path).bearer_auth(&self.user);
        answer(request.json(body)).await.1
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        let text = self.text("audit.jsonl");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Who did what to whom, why and with what outcome; no token of access and no metadata.
#[tokio::test]
async fn every_forced_act_leaves_a_line() {
    let at = Audited::start().await;
    let alice = json!({ "key": "a", "owner": "alice", "metadata": { "password": "hunter2" } });
    let lease = at.user("/v1/acquire", &alice).await["lease"].clone();
    let bob = RequestId::random();
    let waits = json!({ "key": "a", "owner": "bob", "request": bob, "wait_ms": 1 });
    at.user("/v1/acquire", &waits).await;
    let carol =
        json!({ "key": "a", "owner": "carol", "request": RequestId::random(), "wait_ms": 1 });
    at.user("/v1/acquire", &carol).await;
    // What clients do with their own is not recorded.
    at.user("/v1/cancel", &json!({ "key": "a", "request": carol["request"] })).await;
    assert_eq!(at.lines(), [Value::Null; 0]);
    let cancel = json!({ "key": "a", "request": bob });
    answer(at.operator("POST", "/v1/cancel").json(&cancel)).await;
    let evict = json!({ "key": "a", "by": "olivia", "reason": "stuck" });
    for _ in 0..2 {
        answer(at.operator("POST", "/v1/evict").json(&evict)).await;
    }
    let lock = json!({ "ID": LOCK, "Who": "dave", "Info": "hunter2" });
    let path = "/terraform/prod";
    answer(at.operator("LOCK", path).json(&lock)).await;
    answer(at.operator("POST", path).body("hunter2")).await;
    answer(at.operator("POST", &format!("{path}?ID={LOCK}")).body("hunter2")).await;
    answer(at.operator("DELETE", &format!("{path}?ID={LOCK}"))).await;
    at.operator("UNLOCK", path).send().await.unwrap();
    let text = at.text("audit.jsonl");
    for secret in ["hunter2", &at.operator, &at.user] {
        assert!(!text.contains(secret), "{text}");
    }
    let mut lines = at.lines();
    for line in &mut lines {
        let line = line.as_object_mut().unwrap();
        let (at, peer) = (line.remove("at").unwrap(), line.remove("peer").unwrap());
        assert!(at.as_str().unwrap().ends_with('Z'), "{at}");
        assert!(peer.as_str().unwrap().starts_with("127.0.0.1:"), "{peer}");
        assert_eq!(line.remove("token").unwrap(), "ops");
    }
    let id = LOCK.replace('-', "");
    let ended = json!([{ "owner": "alice", "request": lease["request"], "token": lease["token"] }]);
    let why = "a write needs the lock of the state: configure `lock_address`";
    let daves = lines[5]["ended"].clone();
    assert_eq!((&daves[0]["owner"], &daves[0]["request"]), (&json!("dave"), &json!(id)));
    assert_eq!(lines, [
        json!({ "act": "cancel", "key": "a", "request": bob, "ended": [], "outcome": "done" }),
        json!({ "act": "evict", "key": "a", "by": "olivia", "reason": "stuck", "ended": ended, "outcome": "done" }),
        json!({ "act": "evict", "key": "a", "by": "olivia", "reason": "stuck", "ended": [], "outcome": "nothing" }),
        json!({ "act": "write_state", "key": "terraform/prod", "reason": why, "ended": [], "outcome": "refused" }),
        json!({ "act": "delete_state", "key": "terraform/prod", "request": id, "ended": [], "outcome": "done" }),
        json!({ "act": "force_unlock", "key": "terraform/prod", "by": "terraform force-unlock by ops",
                "reason": "force-unlock", "ended": daves, "outcome": "done" }),
    ].as_slice());
}

#[tokio::test]
async fn log_goes_on_in_a_new_file_after_it_was_renamed() {
    let at = Audited::start().await;
    let evict = async |key: &str| {
        let evict = json!({ "key": key, "by": "olivia", "reason": "stuck" });
        let status = answer(at.operator("POST", "/v1/evict").json(&evict)).await.0;
        assert_eq!(status, StatusCode::OK);
    };
    evict("one").await;
    let [now, old] = ["audit.jsonl", "old"].map(|name| at.folder.path().join(name));
    fs::rename(&now, old).unwrap();
    evict("two").await;
    at.log.reopen().unwrap();
    evict("three").await;
    let keys = |text: String| -> Vec<Value> {
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["key"].clone()).collect()
    };
    assert_eq!(keys(at.text("old")), ["one", "two"]);
    assert_eq!(keys(at.text("audit.jsonl")), ["three"]);
}

/// A store of states whose writes begin and then wait.
#[derive(Debug)]
struct Slow {
    begun: Semaphore,
    goes_on: Semaphore,
}

#[async_trait]
impl StateStore for Slow {
    async fn load(&self, _: &StateName) -> Result<Option<Bytes>, StateError> {
        Ok(None)
    }

    async fn fence(&self, _: &StateName, _: FencingToken) -> Result<Write, StateError> {
        Ok(Write::Done)
    }

    async fn replace(
        &self,
        _: &StateName,
        _: FencingToken,
        _: Option<Bytes>,
    ) -> Result<Write, StateError> {
        self.begun.add_permits(1);
        let _ = self.goes_on.acquire().await.map_err(StateError::new)?;
        Ok(Write::Done)
    }

    async fn keep_refused(&self, _: &StateName, _: &Refused) -> Result<(), StateError> {
        Ok(())
    }
}

/// A connection with one request.
async fn sent(at: &Audited, call: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at.server.address).await.unwrap();
    let (secret, length) = (&at.operator, body.len());
    let head = format!("{call} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}");
    let head = format!("{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn forced_act_whose_client_hangs_up_leaves_a_line() {
    let slow = Arc::new(Slow { begun: Semaphore::new(0), goes_on: Semaphore::new(0) });
    let states: Arc<dyn StateStore> = Arc::clone(&slow) as _;
    // One connection at a time: the next is served when the service has seen the end of the last.
    let config = ServiceConfig::new().with_connections(1);
    let at = Audited::limited(states, tempfile::tempdir().unwrap(), config).await;
    let read = async |mut stream: TcpStream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let lock = json!({ "ID": LOCK, "Who": "dave" }).to_string();
    let answer = read(sent(&at, "LOCK /terraform/prod", &lock).await).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let delete = sent(&at, &format!("DELETE /terraform/prod?ID={LOCK}"), "").await;
    slow.begun.acquire().await.unwrap().forget();
    drop(delete);
    let answer = read(sent(&at, "GET /livez", "").await).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(at.lines(), [Value::Null; 0]);
    slow.goes_on.add_permits(1);
    let recorded = async {
        while at.lines().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), recorded).await.expect("a line");
    assert_eq!(at.lines()[0]["act"], "delete_state");
}
