//! `lockctl serve`: clients that know HTTP only, and the ends of the service.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "other tests use the rest of what they share")]

#[path = "serve/atlantis.rs"]
mod atlantis;
mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::thread::{JoinHandle, spawn};

use common::{Scene, failed, said, send};
use lock_core::RequestId;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A `lockctl serve`, which is killed when it is dropped.
struct Serving {
    process: Child,
    address: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Serving {
    fn start(scene: &Scene, options: &str) -> Self {
        let mut command = scene.lockctl(&format!("--json serve {options}"));
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap();
        let address = started["url"].as_str().unwrap().strip_prefix("http://").unwrap();
        Self { process, address: address.to_owned() }
    }

    fn on_a_free_port(scene: &Scene) -> Self {
        Self::start(scene, "--listen 127.0.0.1:0")
    }

    /// Sends a request whose answer is read later.
    fn sent(&self, method: &str, path: &str, body: &Value) -> TcpStream {
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        let length = body.len();
        let kind = "content-type: application/json";
        write!(stream, "{head}{kind}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        stream
    }

    fn post(&self, path: &str, body: &Value) -> (Option<u16>, Value) {
        answer(self.sent("POST", path, body))
    }

    /// Asks for a key in another thread.
    fn waits(&self, body: &Value) -> JoinHandle<(Option<u16>, Value)> {
        let stream = self.sent("POST", "/v1/acquire", body);
        spawn(move || answer(stream))
    }

    fn acquired(&self, body: &Value) -> Value {
        let (status, answer) = self.post("/v1/acquire", body);
        assert_eq!(status, Some(200), "{answer}");
        answer["lease"].clone()
    }

    /// Ends by a signal, and returns the exit code and the standard error.
    fn ended(mut self, signal: Signal) -> (Option<i32>, String) {
        send(self.process.id(), signal);
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.process.wait().unwrap().code(), said)
    }
}

/// The status and the body of an answer; nothing when the connection is broken.
fn answer(mut stream: TcpStream) -> (Option<u16>, Value) {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn asks(owner: &str, wait_ms: u64) -> Value {
    let request = RequestId::random();
    json!({ "key": "deploy", "owner": owner, "request": request, "ttl": "never", "wait_ms": wait_ms })
}

/// The same request, which asks once more for its place.
fn again(asks: &Value) -> Value {
    let mut again = asks.clone();
    again["wait_ms"] = 1.into();
    again
}

#[test]
fn clients_take_turns_with_each_other_and_with_the_shell() {
    let scene = Scene::new();
    let serving = Serving::on_a_free_port(&scene);
    let alice = serving.acquired(&asks("alice", 0));
    let bob = serving.waits(&asks("bob", 60_000));
    scene.shows("deploy", "bob");
    let shell = scene.run("deploy --owner carol", "true").spawn().unwrap();
    scene.shows("deploy", "carol");
    assert_eq!(serving.post("/v1/release", &alice).0, Some(200));
    let (status, bob) = bob.join().unwrap();
    assert_eq!((status, &bob["lease"]["owner"]), (Some(200), &"bob".into()));
    assert!(said(&mut scene.lockctl("show deploy")).contains("carol"));
    assert_eq!(serving.post("/v1/release", &bob["lease"]).0, Some(200));
    assert!(shell.wait_with_output().unwrap().status.success());
}

#[test]
fn metrics_are_served_in_prometheus_text_format() {
    let scene = Scene::new();
    let serving = Serving::on_a_free_port(&scene);
    let alice = serving.acquired(&asks("alice", 0));
    assert_eq!(serving.post("/v1/release", &alice).0, Some(200));
    let mut text = String::new();
    let mut stream = serving.sent("GET", "/metrics", &Value::Null);
    stream.read_to_string(&mut text).unwrap();
    for line in [
        "# TYPE lock_acquisitions_total counter",
        "lock_acquisitions_total{outcome=\"granted\",priority=\"normal\"} 1",
        "lock_losses_total{reason=\"overdue\"} 0",
        "# TYPE lock_wait_seconds histogram",
        "lock_wait_seconds_bucket{priority=\"normal\",le=\"86400\"} 1",
        "lock_wait_seconds_count{priority=\"normal\"} 1",
        "lock_store_seconds_count{operation=\"acquire\"} 1",
        "lock_http_requests_total{method=\"POST\",route=\"/v1/release\",status=\"200\"} 1",
        "lock_http_connections 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("alice") && !text.contains("deploy"), "{text}");
}

/// The places are in the store, not in the process that dies.
#[test]
fn waiters_keep_their_places_when_the_service_is_killed() {
    let scene = Scene::new();
    let serving = Serving::on_a_free_port(&scene);
    let alice = serving.acquired(&asks("alice", 0));
    let (bob, carol) = (asks("bob", 60_000), asks("carol", 60_000));
    let waiting = [&bob, &carol].map(|body| {
        let waiting = serving.waits(body);
        scene.shows("deploy", body["owner"].as_str().unwrap());
        waiting
    });
    drop(serving);
    for waiting in waiting {
        assert_eq!(waiting.join().unwrap().0, None, "the connection is broken");
    }
    let serving = Serving::on_a_free_port(&scene);
    // Who asks again first is not served first.
    for (body, position) in [(&carol, 2), (&bob, 1)] {
        let (status, problem) = serving.post("/v1/acquire", &again(body));
        assert_eq!(status, Some(409), "{problem}");
        assert_eq!(problem["position"]["value"]["position"], position, "{problem}");
    }
    let (carols, bobs) = (serving.waits(&carol), serving.waits(&bob));
    assert_eq!(serving.post("/v1/release", &alice).0, Some(200));
    let (_, lease) = bobs.join().unwrap();
    assert_eq!(lease["lease"]["owner"], "bob", "{lease}");
    assert!(!carols.is_finished());
    assert_eq!(serving.post("/v1/release", &lease["lease"]).0, Some(200));
    assert_eq!(carols.join().unwrap().1["lease"]["owner"], "carol");
}

#[test]
fn service_that_is_asked_to_end_answers_those_who_wait() {
    let scene = Scene::new();
    let serving = Serving::on_a_free_port(&scene);
    serving.acquired(&asks("alice", 0));
    let bob = serving.waits(&asks("bob", 60_000));
    scene.shows("deploy", "bob");
    let mut held = asks("eve", 0);
    held["key"] = "other".into();
    let mut streams = [("GET", "/v1/events"), ("POST", "/v1/hold")].map(|(method, path)| {
        let mut stream = serving.sent(method, path, &held);
        stream.read_exact(&mut [0; 12]).unwrap();
        stream
    });
    let (code, warning) = serving.ended(Signal::SIGTERM);
    assert_eq!(code, Some(0), "{warning}");
    assert!(warning.contains("no authentication"), "{warning}");
    assert_eq!(warning.lines().count(), 1, "everybody had the answer: {warning}");
    let (status, problem) = bob.join().unwrap();
    assert_eq!((status, &problem["kind"]), (Some(503), &"shut_down".into()));
    for stream in &mut streams {
        stream.read_to_string(&mut String::new()).unwrap();
    }
    assert!(said(&mut scene.lockctl("show deploy")).contains("bob"), "the place is kept");
    assert!(scene.is_free("other"), "the lease of the connection is released");
}

#[test]
fn client_that_is_silent_does_not_keep_the_service_from_its_end() {
    let scene = Scene::new();
    let serving = Serving::on_a_free_port(&scene);
    let mut silent = TcpStream::connect(&serving.address).unwrap();
    let head = "POST /v1/acquire HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n";
    write!(silent, "{head}content-type: application/json\r\ncontent-length: 9\r\n\r\n").unwrap();
    // The service waits for the body now.
    silent.read_exact(&mut [0; 12]).unwrap();
    let (code, said) = serving.ended(Signal::SIGINT);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn address_that_cannot_be_served_is_one_sentence() {
    let scene = Scene::new();
    let serving = Serving::on_a_free_port(&scene);
    let taken = serving.address.as_str();
    for (options, code, words) in [
        (format!("--listen {taken}"), 69, "another program listens there"),
        ("--listen 0.0.0.0:0".to_owned(), 78, "add --without-authentication"),
        ("--listen [::]:0".to_owned(), 78, "add --without-authentication"),
        ("--listen 192.0.2.1:0 --without-authentication".to_owned(), 78, "no such address"),
        ("--listen nonsense".to_owned(), 64, "use ADDRESS:PORT"),
        ("--listen 127.0.0.1:99999".to_owned(), 64, "use ADDRESS:PORT"),
    ] {
        let (exit, said) = failed(&mut scene.lockctl(&format!("serve {options}")));
        assert_eq!(exit, code, "{options}: {said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{options}: {said}");
    }
}

#[test]
fn address_of_others_is_served_when_it_is_asked_for() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, "--listen 0.0.0.0:0 --without-authentication");
    let (code, warning) = serving.ended(Signal::SIGINT);
    assert_eq!(code, Some(0));
    assert!(warning.contains("everybody who reaches 0.0.0.0:"), "{warning}");
}
