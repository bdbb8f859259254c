//! `lockctl serve` for its operators: configuration, tokens, certificates, signals, logs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "other tests use the rest of what they share")]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::spawn;
use std::time::Duration;

use common::{Scene, failed, said, send};
use lock_testkit_redis::server::RedisServer;
use nix::sys::signal::Signal;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

/// The longest that a service lives here: a test that waits for its words in vain then fails.
const LIFE: Duration = Duration::from_secs(30);

/// A `lockctl serve`, which is killed when it is dropped.
struct Serving {
    process: Child,
    url: String,
    log: BufReader<ChildStderr>,
    /// Dropped with it, which calls off its end.
    _life: Sender<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Serving {
    fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (life, ends) = channel();
        let id = process.id();
        spawn(move || {
            if ends.recv_timeout(LIFE) == Err(RecvTimeoutError::Timeout) {
                send(id, Signal::SIGKILL);
            }
        });
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let started: Value = serde_json::from_str(&line).unwrap_or_default();
        let url = started["url"].as_str().unwrap_or_default().to_owned();
        let mut serving = Self { process, url, log, _life: life };
        if serving.url.is_empty() {
            let mut rest = String::new();
            serving.log.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "", "it did not start");
        }
        serving
    }

    fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    /// The log until a line has these words.
    fn logs(&mut self, words: &str) -> String {
        let mut seen = String::new();
        while !seen.lines().last().is_some_and(|line| line.contains(words)) {
            assert_ne!(self.log.read_line(&mut seen).unwrap(), 0, "it ended: {seen}");
        }
        seen
    }

    /// Sends SIGHUP, and returns the log until it was heeded.
    fn reload(&mut self) -> String {
        send(self.process.id(), Signal::SIGHUP);
        self.logs("reloaded\"")
    }

    fn ended(mut self) -> (Option<i32>, String) {
        send(self.process.id(), Signal::SIGTERM);
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.process.wait().unwrap().code(), rest)
    }

    /// The status of an answer.
    fn asks(&self, call: &str, secret: &str, body: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        asks(&mut stream, call, secret, body).unwrap()
    }
}

fn asks(
    stream: &mut (impl std::io::Read + std::io::Write),
    call: &str,
    secret: &str,
    body: &str,
) -> std::io::Result<u16> {
    let length = body.len();
    let head = format!("{call} HTTP/1.1\r\nhost: locks.example\r\nauthorization: Bearer {secret}");
    let head = format!("{head}\r\nconnection: close\r\ncontent-type: application/json");
    stream.write_all(format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default())
}

/// A new token, and its lines for the file.
fn token(scene: &Scene, options: &str) -> (String, String) {
    let made = said(&mut scene.lockctl(&format!("--json serve token {options}")));
    let made: Value = serde_json::from_str(&made).unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("token"), text("lines"))
}

fn write(scene: &Scene, name: &str, text: &str) {
    fs::write(scene.path(name), text).unwrap();
}

fn serve(scene: &Scene, options: &str) -> Command {
    scene.lockctl(&format!("--json serve {options}"))
}

/// An authority, and a certificate of it for `localhost` in `cert.pem` and `key.pem`.
fn certify(scene: &Scene) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    write(scene, "cert.pem", &params.signed_by(&key, &authority).unwrap().pem());
    write(scene, "key.pem", &key.serialize_pem());
    authority.der().clone()
}

/// The status of an answer over TLS, for a client that trusts this authority alone.
fn asks_over_tls(serving: &Serving, authority: &CertificateDer<'static>) -> Option<u16> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let connection = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(serving.address()).unwrap();
    asks(&mut StreamOwned::new(connection, stream), "GET /livez", "", "").ok()
}

const EVICT: &str = r#"{"key":"deploy","by":"olivia","reason":"stuck"}"#;

#[test]
fn client_needs_a_token_that_a_signal_takes_away() {
    let scene = Scene::new();
    let (ci, ci_lines) = token(&scene, "ci --role use --prefix team/");
    let (ops, ops_lines) = token(&scene, "ops --role operate --all-keys");
    write(&scene, "tokens.toml", &(ci_lines + &ops_lines));
    let mut serving =
        Serving::start(&mut serve(&scene, "--listen 127.0.0.1:0 --tokens tokens.toml"));
    let of = |secret: &str, serving: &Serving| serving.asks("GET /v1/locks", secret, "");
    assert_eq!((of("", &serving), of("wrong", &serving)), (401, 401));
    assert_eq!((of(&ci, &serving), of(&ops, &serving)), (200, 200));
    let acquire = |key: &str| format!(r#"{{"key":"{key}","owner":"alice"}}"#);
    assert_eq!(serving.asks("POST /v1/acquire", &ci, &acquire("team/a")), 200);
    assert_eq!(serving.asks("POST /v1/acquire", &ci, &acquire("other")), 403);
    assert_eq!(serving.asks("POST /v1/evict", &ci, EVICT), 403);
    // A file that is wrong is told of, and changes nothing.
    write(&scene, "tokens.toml", "[[token]]\nname = 'x'\n");
    let log = serving.reload();
    assert!(log.contains("tokens.toml: line 1: missing field `role`"), "{log}");
    assert_eq!((of(&ci, &serving), of(&ops, &serving)), (200, 200));
    write(&scene, "tokens.toml", &ops_lines);
    let log = serving.reload();
    assert!(log.contains("\"failures\":0"), "{log}");
    assert_eq!((of(&ci, &serving), of(&ops, &serving)), (401, 200));
    assert!(!log.contains("no authentication"), "{log}");
    assert_eq!(serving.ended().0, Some(0));
}

#[test]
fn new_token_is_printed_once_and_kept_as_a_hash() {
    let scene = Scene::new();
    let text = said(&mut scene.lockctl("serve token ci --role read --prefix a/ --prefix b/"));
    let secret = text.split_whitespace().find(|word| word.starts_with("lockctl_")).unwrap();
    assert_eq!(text.matches(secret).count(), 1, "{text}");
    // What it prints is the file; the secret is in a comment, to be taken out.
    assert!(text.contains("prefixes = [\"a/\", \"b/\"]") && text.contains("sha256 = \""), "{text}");
    for (options, words) in [
        ("ci --role read", "--prefix"),
        ("ci --role read --prefix a --all-keys", "cannot be used"),
        ("ci --role root --all-keys", "expected one of `read`, `use`, `operate`"),
        ("c/i --role read --all-keys", "the name of a token"),
    ] {
        let (code, said) = failed(&mut scene.lockctl(&format!("serve token {options}")));
        assert!(code == 64 && said.contains(words), "{options}: {code} {said}");
    }
}

#[test]
fn help_has_every_option_and_its_variable() {
    let scene = Scene::new();
    insta::assert_snapshot!("help-serve", said(&mut scene.lockctl("serve --help")));
    insta::assert_snapshot!("help-serve-token", said(&mut scene.lockctl("serve token --help")));
}

#[test]
fn certificate_is_renewed_by_a_signal_and_a_bad_one_is_not_taken() {
    let scene = Scene::new();
    let old = certify(&scene);
    let options = "--listen 127.0.0.1:0 --tls-cert cert.pem --tls-key key.pem";
    let mut serving = Serving::start(&mut serve(&scene, options));
    assert!(serving.url.starts_with("https://"), "{}", serving.url);
    // It is not a name of this machine, and there are no tokens.
    assert_eq!(asks_over_tls(&serving, &old), Some(403));
    let key = fs::read_to_string(scene.path("key.pem")).unwrap();
    let new = certify(&scene);
    let good = fs::read_to_string(scene.path("key.pem")).unwrap();
    write(&scene, "key.pem", &key);
    let log = serving.reload();
    assert!(log.contains("not reloaded: --tls-cert: "), "{log}");
    assert_eq!(asks_over_tls(&serving, &old), Some(403));
    write(&scene, "key.pem", &good);
    serving.reload();
    assert_eq!(asks_over_tls(&serving, &new), Some(403));
    assert_eq!(asks_over_tls(&serving, &old), None);
}

#[test]
fn audit_log_goes_on_in_a_new_file_after_a_signal() {
    let scene = Scene::new();
    let (ops, lines) = token(&scene, "ops --role operate --all-keys");
    write(&scene, "tokens.toml", &lines);
    let options = "--listen 127.0.0.1:0 --tokens tokens.toml --audit audit.jsonl";
    let mut serving = Serving::start(&mut serve(&scene, options));
    assert_eq!(serving.asks("POST /v1/evict", &ops, EVICT), 200);
    fs::rename(scene.path("audit.jsonl"), scene.path("old")).unwrap();
    serving.reload();
    assert_eq!(serving.asks("POST /v1/evict", &ops, EVICT), 200);
    for name in ["old", "audit.jsonl"] {
        let text = fs::read_to_string(scene.path(name)).unwrap();
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["token"], &line["act"]), (&json!("ops"), &json!("evict")));
        assert!(!text.contains(&ops), "{text}");
    }
}

/// A flag goes before the environment, and the environment before the file.
#[test]
fn option_is_taken_from_the_flag_the_environment_and_the_file() {
    let scene = Scene::new();
    let text =
        "url = 'sqlite:other.db'\nlisten = '127.0.0.1:0'\nconnections = 3\nlog-filter = 'warn'\n";
    write(&scene, "serve.toml", text);
    let checked = |options: &str, variable: Option<&str>| {
        let mut command = serve(&scene, &format!("--config serve.toml --check {options}"));
        let checked = said(command.envs(variable.map(|it| ("LOCKCTL_SERVE_CONNECTIONS", it))));
        serde_json::from_str::<Value>(&checked).unwrap()
    };
    let checks = checked("", None);
    assert!(checks["store"].as_str().unwrap().starts_with("sqlite:other.db"), "{checks}");
    assert_eq!((&checks["connections"], &checks["log"]), (&json!("3"), &json!("warn")));
    assert_eq!(checked("", Some("4"))["connections"], "4");
    assert_eq!(checked("--connections 5", Some("4"))["connections"], "5");
    let mut command = serve(&scene, "");
    let serving = Serving::start(command.env("LOCKCTL_SERVE_CONFIG", "serve.toml"));
    assert_eq!(serving.asks("GET /livez", "", ""), 403);
    assert!(scene.path("other.db").exists());
}

/// Each fault is one sentence and code 78, at a start and at a check alike.
#[test]
fn bad_configuration_is_named_before_anything_is_served() {
    let scene = Scene::new();
    write(&scene, "unknown.toml", "lisen = '127.0.0.1:0'\n");
    write(&scene, "type.toml", "\nconnections = 'many'\n");
    write(&scene, "syntax.toml", "listen =\n");
    write(&scene, "empty.toml", "");
    write(&scene, "file", "");
    write(&scene, "rule.toml", "[[terraform-rule]]\nstate = 'prod'\n");
    write(&scene, "lease.toml", "[[terraform-rule]]\nlease = '0s'\n");
    certify(&scene);
    for (options, words) in [
        ("--config rule.toml", "rule.toml: line 2: unknown field `state`, expected one of"),
        ("--config lease.toml", "terraform-rule: "),
        ("--config missing.toml", "missing.toml: No such file"),
        ("--config unknown.toml", "unknown.toml: line 1: unknown field `lisen`, expected one of"),
        ("--config type.toml", "type.toml: line 2: "),
        ("--config syntax.toml", "syntax.toml: line 1: "),
        ("--tokens missing.toml", "missing.toml: No such file"),
        ("--tokens empty.toml", "empty.toml: there is no [[token]]"),
        ("--tokens empty.toml --without-authentication", "contradict"),
        ("--tls-cert cert.pem", "--tls-cert needs --tls-key"),
        ("--tls-cert cert.pem --tls-key cert.pem", "--tls-cert: the key"),
        ("--audit nowhere/audit.jsonl", "--audit nowhere/audit.jsonl: No such file"),
        ("--states file/states", "--states file/states: Not a directory"),
        ("--log-filter a=b=c", "--log-filter: "),
        ("--listen 0.0.0.0:0", "give --tokens"),
    ] {
        for check in ["", "--check"] {
            let lockctl = env!("CARGO_BIN_EXE_lockctl");
            let command = format!("20 {lockctl} serve {check} {options}");
            let (code, said) = failed(scene.command("timeout").args(command.split_whitespace()));
            assert_eq!(code, 78, "{check} {options}: {said}");
            assert!(said.contains(words) && said.lines().count() == 1, "{options}: {said}");
        }
    }
}

#[test]
fn check_says_what_would_be_done_and_serves_nothing() {
    let scene = Scene::new();
    let (_, lines) = token(&scene, "ops --role operate --all-keys");
    write(&scene, "tokens.toml", &lines);
    let options =
        "--check --listen 0.0.0.0:0 --tokens tokens.toml --states states --audit audit.jsonl";
    let mut command = serve(&scene, options);
    let output = command.output().unwrap();
    assert!(output.status.success());
    let checks: Value = serde_json::from_slice(&output.stdout).unwrap();
    let listen = checks["listen"].as_str().unwrap();
    assert!(listen.starts_with("0.0.0.0:0, free; ") && listen.contains("in the clear"), "{listen}");
    assert_eq!((&checks["tokens"], &checks["tls"]), (&json!("1"), &json!("no")));
    assert_eq!((&checks["states"], &checks["audit"]), (&json!("states"), &json!("audit.jsonl")));
    // A service that runs may have its next configuration checked.
    let serving = Serving::start(&mut serve(&scene, "--listen 127.0.0.1:0"));
    let checks = said(&mut serve(&scene, &format!("--check --listen {}", serving.address())));
    assert!(checks.contains("taken now"), "{checks}");
    let (code, said) = failed(&mut scene.lockctl("--url redis://127.0.0.1:1 serve --check"));
    assert_eq!(code, 69, "{said}");
    // Several faults are all named.
    let (code, said) =
        failed(&mut scene.lockctl("--url redis://127.0.0.1:1 serve --check --tls-key x"));
    assert_eq!((code, said.lines().count()), (78, 2), "{said}");
}

/// Nothing of a state is in the memory or in the folder of one of them.
fn states_are_shared(scene: &Scene) {
    let (secret, lines) = token(scene, "ops --role operate --all-keys");
    write(scene, "tokens.toml", &lines);
    let text = "states-in-store = true\nlisten = '127.0.0.1:0'\ntokens = 'tokens.toml'\n\
                [[terraform-rule]]\noperations = ['plan']\nshared = true\n";
    write(scene, "serve.toml", text);
    let serves = || Serving::start(&mut serve(scene, "--config serve.toml"));
    let [one, other] = [serves(), serves()];
    let lock = |id: &str, operation: &str| {
        format!("{{\"ID\":\"01234567-89ab-cdef-0123-45678{id}\",\"Operation\":\"{operation}\"}}")
    };
    let plans = ["9abcdef", "9abcdee"].map(|id| lock(id, "OperationTypePlan"));
    for (serving, plan) in [(&one, &plans[0]), (&other, &plans[1])] {
        assert_eq!(serving.asks("LOCK /terraform/prod", &secret, plan), 200);
    }
    for plan in &plans {
        assert_eq!(one.asks("UNLOCK /terraform/prod", &secret, plan), 200);
    }
    let apply = lock("9abcded", "OperationTypeApply");
    assert_eq!(one.asks("LOCK /terraform/prod", &secret, &apply), 200);
    let write = "POST /terraform/prod?ID=01234567-89ab-cdef-0123-456789abcded";
    assert_eq!(other.asks(write, &secret, "{}"), 200);
    assert_eq!(other.asks("UNLOCK /terraform/prod", &secret, &apply), 200);
    assert_eq!(one.asks("GET /terraform/prod", &secret, ""), 200);
    assert_eq!(one.asks(write, &secret, "{}"), 409);
}

#[test]
fn services_on_one_file_share_their_states() {
    states_are_shared(&Scene::new());
}

#[tokio::test]
async fn services_on_one_redis_share_their_states() {
    let server = RedisServer::start().await;
    let scene = Scene::at(server.url());
    tokio::task::spawn_blocking(move || states_are_shared(&scene)).await.unwrap();
}

/// One line a request, without queries and secrets.
#[test]
fn request_is_a_line_of_the_log_at_debug() {
    let scene = Scene::new();
    let (ops, lines) = token(&scene, "ops --role operate --all-keys");
    write(&scene, "tokens.toml", &lines);
    let options = "--listen 127.0.0.1:0 --tokens tokens.toml --log-filter lock_server=debug";
    let serving = Serving::start(&mut serve(&scene, options));
    let body = r#"{"key":"a","owner":"alice","metadata":{"password":"hunter2"}}"#;
    assert_eq!(serving.asks("POST /v1/acquire?ID=capability", &ops, body), 200);
    assert_eq!(serving.asks("GET /v1/locks", "wrong-secret", ""), 401);
    let (_, log) = serving.ended();
    for secret in ["hunter2", "capability", "wrong-secret", &ops] {
        assert!(!log.contains(secret), "{log}");
    }
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<_> = lines.filter(|line| line["message"] == "request").collect();
    let [acquired, refused] = &lines[..] else { panic!("{log}") };
    assert_eq!((&acquired["path"], &acquired["method"]), (&json!("/v1/acquire"), &json!("POST")));
    assert_eq!((&acquired["status"], &acquired["token"]), (&json!(200), &json!("ops")));
    assert_eq!((&refused["status"], &refused["token"]), (&json!(401), &Value::Null));
}

#[test]
fn filter_of_the_log_changes_with_a_signal() {
    let scene = Scene::new();
    write(&scene, "serve.toml", "listen = '127.0.0.1:0'\n");
    let mut serving = Serving::start(&mut serve(&scene, "--config serve.toml"));
    serving.asks("GET /livez", "", "");
    write(&scene, "serve.toml", "listen = '127.0.0.1:1'\nlog-filter = 'info,lock_server=debug'\n");
    let log = serving.reload();
    assert!(log.contains("need a restart") && !log.contains("\"request\""), "{log}");
    serving.asks("GET /livez", "", "");
    serving.logs("\"request\"");
}

/// The limit of open files is raised as far as the system lets it, and the rest is told.
#[test]
fn open_files_are_as_many_as_connections_need() {
    let scene = Scene::new();
    let lockctl = env!("CARGO_BIN_EXE_lockctl");
    let start = |limits: &str, connections: u32| {
        let serve = format!("--json serve --listen 127.0.0.1:0 --connections {connections}");
        Serving::start(&mut scene.shell(&format!("ulimit {limits} && exec {lockctl} {serve}")))
    };
    let serving = start("-Sn 256", 1000);
    let limits = fs::read_to_string(format!("/proc/{}/limits", serving.process.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().nth(3), Some("1128"), "{files}");
    let (_, log) = serving.ended();
    assert!(!log.contains("open files"), "{log}");
    let (_, log) = start("-n 256", 1000).ended();
    assert!(log.contains("1000 connections need 1128 open files, and 256 are allowed"), "{log}");
}
