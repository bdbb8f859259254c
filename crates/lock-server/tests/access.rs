//! Tokens, their roles and their prefixes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "the description is shared with another test"
)]

mod common;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use common::tokens::{of_each_role, read, token};
use common::{Server, answer};
use lock_core::{LockStore, RequestId};
use lock_memory::MemoryBackend;
use lock_server::{Access, AuditLog, FileStates, Role, Service, ServiceConfig};
use reqwest::{Method, RequestBuilder, StatusCode};
use schema::Description;
use serde_json::{Value, json};

async fn serve(access: &Access) -> Server {
    on(Arc::new(MemoryBackend::new()), access).await
}

async fn on(store: Arc<dyn LockStore>, access: &Access) -> Server {
    let service = Service::new(store, ServiceConfig::new()).with_access(access.clone());
    Server::of(service).await
}

/// A client with a token.
struct Client<'a> {
    server: &'a Server,
    secret: &'a str,
}

impl Client<'_> {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.server.request(method, path).bearer_auth(self.secret)
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        answer(self.request(Method::POST, path).json(body)).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path)).await
    }

    async fn acquired(&self, key: &str, owner: &str) -> Value {
        let (status, answer) =
            self.post("/v1/acquire", &json!({ "key": key, "owner": owner })).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["lease"].clone()
    }
}

/// Checks that a call is for those who have the role, and for nobody else.
async fn is_for(role: Option<Role>, secrets: &[(Role, String)], call: impl Fn() -> RequestBuilder) {
    let response = call().send().await.unwrap();
    let headers = response.headers().get_all("www-authenticate").iter();
    let schemes: Vec<_> =
        headers.map(|it| it.to_str().unwrap().split(' ').next().unwrap().to_owned()).collect();
    let is_refused = response.status() == StatusCode::UNAUTHORIZED;
    assert_eq!(is_refused, role.is_some(), "{:?}", call());
    assert_eq!(schemes, if is_refused { vec!["Bearer", "Basic"] } else { vec![] });
    for (has, secret) in secrets {
        let response = call().bearer_auth(secret).send().await.unwrap();
        let is_allowed = role.is_none_or(|role| *has >= role);
        let status = response.status();
        assert_eq!(status != StatusCode::FORBIDDEN, is_allowed, "{has}: {:?}", call());
        assert_ne!(status, StatusCode::UNAUTHORIZED);
        if !is_allowed {
            let problem: Value = response.json().await.unwrap();
            let words = format!("the token `{has}` has the role `{has}`; this needs `");
            assert!(problem["detail"].as_str().unwrap().starts_with(&words), "{problem}");
            assert_eq!(problem["outcome"], "did_not_happen");
        }
    }
}

/// The role of each route is that of the description, which is that of the table of routes.
#[tokio::test]
async fn every_route_needs_its_role() {
    let description = Description::read();
    for (method, path, operation) in description.operations() {
        let (access, secrets) = of_each_role();
        let server = serve(&access).await;
        let role: Option<Role> = serde_json::from_value(operation["x-role"].clone()).unwrap();
        let example = description.examples(&method, path, operation).into_iter().next().unwrap();
        is_for(role, &secrets, || {
            let request = server.request(method.clone(), &example.at);
            match &example.body {
                Some(body) => request.json(body),
                None => request,
            }
        })
        .await;
    }
}

#[tokio::test]
async fn every_call_of_terraform_needs_its_role() {
    let folder = tempfile::tempdir().unwrap();
    let lock = json!({ "ID": "01234567-89ab-cdef-0123-456789abcdef", "Who": "alice" });
    for (method, query, body, role) in [
        ("GET", "", None, Role::Read),
        ("LOCK", "", Some(&lock), Role::Use),
        ("POST", "?lock", Some(&lock), Role::Use),
        ("UNLOCK", "", Some(&lock), Role::Use),
        ("POST", "?unlock", Some(&lock), Role::Use),
        ("POST", "", Some(&lock), Role::Use),
        ("PUT", "", Some(&lock), Role::Use),
        ("UNLOCK", "", None, Role::Operate),
        ("POST", "?unlock", None, Role::Operate),
        ("DELETE", "", None, Role::Operate),
    ] {
        let (access, secrets) = of_each_role();
        let service = Service::new(Arc::new(MemoryBackend::new()), ServiceConfig::new());
        let states = Arc::new(FileStates::new(folder.path()));
        let server = Server::of(service.with_access(access).with_terraform(states)).await;
        is_for(Some(role), &secrets, || {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = server.request(method, &format!("/terraform/prod{query}"));
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        })
        .await;
    }
}

#[tokio::test]
async fn token_is_taken_as_bearer_and_as_password() {
    let (secret, lines) = token("ci", Role::Read, &[]);
    let server = serve(&Access::with_tokens(read(&[&lines]))).await;
    let get = |path| server.request(Method::GET, path);
    let status = async |request: RequestBuilder| answer(request).await.0;
    assert_eq!(status(get("/v1/locks").bearer_auth(&secret)).await, StatusCode::OK);
    for user in ["ci", "anybody", ""] {
        let basic = get("/v1/locks").basic_auth(user, Some(&secret));
        assert_eq!(status(basic).await, StatusCode::OK, "{user}");
    }
    // Wrong credentials are refused everywhere, also where none are needed.
    for path in ["/v1/locks", "/livez", "/nowhere"] {
        for wrong in
            [get(path).bearer_auth("lockctl_00"), get(path).basic_auth(&secret, Some("ci"))]
        {
            let (status, problem) = answer(wrong).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(problem["kind"], "unauthenticated");
            assert!(!problem.to_string().contains(&secret), "{problem}");
        }
    }
}

#[tokio::test]
async fn probes_need_no_token() {
    let (access, _) = of_each_role();
    let server = serve(&access).await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(server.get(path).await.0, StatusCode::NO_CONTENT, "{path}");
    }
}

/// A token acts on no key outside of its prefixes, whatever its role.
#[tokio::test]
async fn token_covers_its_prefixes_alone() {
    let (team, lines) = token("team", Role::Operate, &["team/", "shared"]);
    let (all, others) = token("all", Role::Operate, &[]);
    let server = serve(&Access::with_tokens(read(&[&lines, &others]))).await;
    let [team, all] = [&team, &all].map(|secret| Client { server: &server, secret });
    for key in ["team/a", "shared", "shared-too"] {
        team.acquired(key, "alice").await;
    }
    let lease = all.acquired("other", "bob").await;
    let request = &lease["request"];
    let to = json!({ "owner": { "owner": "eve" } });
    for (path, body) in [
        ("/v1/acquire", json!({ "key": "other", "owner": "eve" })),
        ("/v1/acquire", json!({ "key": "team", "owner": "eve" })),
        ("/v1/hold", json!({ "key": "other", "owner": "eve" })),
        ("/v1/renew", lease.clone()),
        ("/v1/release", lease.clone()),
        ("/v1/cancel", json!({ "key": "other", "request": request })),
        ("/v1/transfer", json!({ "lease": lease, "by": "eve", "to": to })),
        ("/v1/evict", json!({ "key": "other", "by": "eve", "reason": "mine" })),
    ] {
        let (status, problem) = team.post(path, &body).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.ends_with("it has the prefixes `team/`, `shared`"), "{detail}");
        assert_eq!(problem["outcome"], "did_not_happen");
    }
    assert_eq!(team.get("/v1/locks/other").await.0, StatusCode::FORBIDDEN);
    let (_, seen) = all.get("/v1/locks/other").await;
    assert_eq!(seen["value"]["leases"][0]["token"], lease["token"], "nothing changed");
    assert_eq!(all.post("/v1/release", &lease).await.0, StatusCode::OK);
}

#[tokio::test]
async fn state_is_covered_by_the_key_of_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, lines) = token("team", Role::Operate, &["terraform/team/"]);
    let service = Service::new(Arc::new(MemoryBackend::new()), ServiceConfig::new());
    let service = service.with_access(Access::with_tokens(read(&[&lines])));
    let server = Server::of(service.with_terraform(Arc::new(FileStates::new(folder.path())))).await;
    let get = |path| answer(server.request(Method::GET, path).basic_auth("x", Some(&secret)));
    assert_eq!(get("/terraform/team/prod").await.0, StatusCode::NO_CONTENT);
    assert_eq!(get("/terraform/other/prod").await.0, StatusCode::FORBIDDEN);
}

/// All items of a listing, and what is said of it on the way.
async fn pages(client: &Client<'_>, path: &str) -> (Vec<String>, String) {
    let (mut keys, mut said, mut after) = (Vec::new(), String::new(), String::new());
    loop {
        let (status, page) = client.get(&format!("{path}limit=1{after}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        said += &page.to_string();
        let items = page["value"]["items"].as_array().unwrap();
        keys.extend(items.iter().map(|item| item["key"].as_str().unwrap().to_owned()));
        let Some(next) = page["value"]["next"].as_str() else { break };
        let next = format!("&after={next}");
        assert_ne!(next, after, "no progress");
        after = next;
    }
    keys.sort();
    (keys, said)
}

/// Neither items nor cursors name other keys, and pages of nothing but others go on.
#[tokio::test]
async fn listings_tell_nothing_of_other_keys() {
    let (team, lines) = token("team", Role::Use, &["a/", "c/"]);
    let (one, ones) = token("one", Role::Read, &["c/"]);
    let (all, others) = token("all", Role::Operate, &[]);
    let server = serve(&Access::with_tokens(read(&[&lines, &ones, &others]))).await;
    let [team, one, all] = [&team, &one, &all].map(|secret| Client { server: &server, secret });
    for key in ["a/1", "a/2", "b/secret-1", "b/secret-2", "b/secret-3", "c/1"] {
        all.acquired(key, "alice").await;
        let waits =
            json!({ "key": key, "owner": "bob", "wait_ms": 1, "request": RequestId::random() });
        all.post("/v1/acquire", &waits).await;
    }
    for path in ["/v1/locks?", "/v1/waits?owner=bob&"] {
        let (keys, said) = pages(&team, path).await;
        assert_eq!(keys, ["a/1", "a/2", "c/1"], "{path}");
        assert!(!said.contains("secret"), "{said}");
        assert_eq!(pages(&one, path).await.0, ["c/1"]);
        assert_eq!(pages(&all, path).await.0.len(), 6);
    }
    assert_eq!(pages(&team, "/v1/locks?prefix=a/1&").await.0, ["a/1"]);
    assert_eq!(pages(&one, "/v1/locks?prefix=b/&").await.0, [""; 0]);
    // A cursor that this service did not seal for it may name a key.
    let (_, page) = all.get("/v1/locks?limit=1").await;
    let next = page["value"]["next"].as_str().unwrap();
    let foreign = team.get(&format!("/v1/locks?after={next}")).await;
    assert_eq!(foreign.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn events_tell_nothing_of_other_keys() {
    let (team, lines) = token("team", Role::Read, &["a/", "c/"]);
    let (all, others) = token("all", Role::Operate, &[]);
    let server = serve(&Access::with_tokens(read(&[&lines, &others]))).await;
    let [team, all] = [&team, &all].map(|secret| Client { server: &server, secret });
    let mut events = team.request(Method::GET, "/v1/events").send().await.unwrap();
    let mut requests = Vec::new();
    for key in ["b/secret", "a/1", "b/secret-too", "c/last"] {
        requests.push(all.acquired(key, "alice").await["request"].as_str().unwrap().to_owned());
    }
    let mut seen = String::new();
    while !seen.contains("c/last") {
        seen += str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap();
    }
    assert!(seen.contains("a/1") && !seen.contains("secret"), "{seen}");
    assert!(requests.iter().all(|request| !seen.contains(request)), "{seen}");
}

/// Who names the request of a lease may end it, so those who may not act on others do not see it:
/// neither in a listing, nor in a cursor, nor as the session that is named after it.
#[tokio::test]
async fn request_of_another_is_told_to_operators_alone() {
    let (access, secrets) = of_each_role();
    let server = serve(&access).await;
    let client = |role| {
        let (_, secret) = secrets.iter().find(|(has, _)| *has == role).unwrap();
        Client { server: &server, secret }
    };
    let (reads, uses, operates) = (client(Role::Read), client(Role::Use), client(Role::Operate));
    let lease = uses.acquired("deploy", "alice").await;
    let secret = lease["request"].as_str().unwrap();
    let bob = RequestId::random();
    for request in [bob, RequestId::random()] {
        let waits = json!({ "key": "deploy", "owner": "bob", "wait_ms": 1, "request": request });
        let (_, problem) = uses.post("/v1/acquire", &waits).await;
        assert_eq!(problem["position"]["value"]["holder"]["owner"], "alice");
        assert!(!problem.to_string().contains(secret), "{problem}");
        let hold = json!({ "key": "deploy", "owner": "bob" });
        let (_, problem) = uses.post("/v1/hold", &hold).await;
        assert!(!problem.to_string().contains(secret), "{problem}");
    }
    let paths = ["/v1/locks/deploy?limit=1", "/v1/locks", "/v1/waits?owner=bob&limit=1"];
    let mut said = String::new();
    for path in paths {
        for client in [&reads, &uses] {
            said += &client.get(path).await.1.to_string();
        }
    }
    for request in [secret.to_owned(), bob.to_string()] {
        assert!(!said.contains(&request), "{said}");
    }
    // What is shown in its place is of no use.
    let (_, shown) = uses.get("/v1/locks/deploy").await;
    let shown = &shown["value"]["leases"][0];
    assert_eq!((&shown["owner"], &shown["token"]), (&json!("alice"), &lease["token"]));
    assert_eq!(uses.post("/v1/release", shown).await.0, StatusCode::CONFLICT);
    let cancel = json!({ "key": "deploy", "request": shown["request"] });
    assert_eq!(uses.post("/v1/cancel", &cancel).await.1["cancelled"], "absent");
    assert_eq!(operates.get("/v1/locks/deploy").await.1["value"]["leases"][0]["request"], secret);
    assert_eq!(uses.post("/v1/release", &lease).await.0, StatusCode::OK);
}

#[tokio::test]
async fn lock_that_terraform_does_not_get_tells_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, lines) = token("ci", Role::Use, &[]);
    let config = ServiceConfig::new().with_terraform_patience(Duration::from_millis(1));
    let service = Service::new(Arc::new(MemoryBackend::new()), config);
    let service = service.with_access(Access::with_tokens(read(&[&lines])));
    let server = Server::of(service.with_terraform(Arc::new(FileStates::new(folder.path())))).await;
    let id = |digit: &str| "01234567-89ab-cdef-0123-456789abcdex".replace('x', digit);
    let call = async |method: &str, digit| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = server.request(method, "/terraform/prod").basic_auth("ci", Some(&secret));
        let lock = json!({ "ID": id(digit), "Who": format!("who-{digit}") });
        let response = request.json(&lock).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    };
    assert_eq!(call("LOCK", "1").await.0, StatusCode::OK);
    for (method, status) in [("LOCK", StatusCode::LOCKED), ("UNLOCK", StatusCode::OK)] {
        // `UNLOCK` takes the place that `LOCK` has taken.
        let (answered, held) = call(method, "2").await;
        assert_eq!(answered, status, "{held}");
        assert!(!held.contains(&id("1")), "{held}");
    }
    let (status, held) = call("UNLOCK", "3").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(held.contains("who-1") && !held.contains(&id("1")), "{held}");
}

/// A call that waits, a connection that holds and one that watches end with their token, and those of
/// other tokens go on.
#[tokio::test]
async fn revoked_token_ends_what_is_under_way() {
    let (gone, goes) = token("gone", Role::Use, &[]);
    let (kept, stays) = token("kept", Role::Use, &[]);
    let access = Access::with_tokens(read(&[&goes, &stays]));
    let server = serve(&access).await;
    let [gone, kept] = [&gone, &kept].map(|secret| Client { server: &server, secret });
    let lease = kept.acquired("deploy", "alice").await;
    let wait = |client: &Client<'_>, owner| {
        let asks = json!({ "key": "deploy", "owner": owner, "wait_ms": 600_000 });
        let asks = client.request(Method::POST, "/v1/acquire").json(&asks);
        tokio::spawn(answer(asks))
    };
    let hold = json!({ "key": "held", "owner": "bob" });
    let held = gone.request(Method::POST, "/v1/hold").json(&hold).send().await.unwrap();
    let mut events = gone.request(Method::GET, "/v1/events").send().await.unwrap();
    let (cut, goes_on) = (wait(&gone, "bob"), wait(&kept, "carol"));
    while kept.get("/v1/locks/deploy").await.1["value"]["waiting"] != 2 {
        tokio::task::yield_now().await;
    }
    access.replace(read(&[&stays]));
    let (status, problem) = cut.await.unwrap();
    assert_eq!((status, &problem["outcome"]), (StatusCode::UNAUTHORIZED, &json!("unknown")));
    let lines = held.text().await.unwrap();
    assert!(lines.contains("the token was revoked"), "{lines}");
    while events.chunk().await.unwrap().is_some() {}
    assert_eq!(gone.get("/v1/locks").await.0, StatusCode::UNAUTHORIZED);
    let again = json!({ "key": "held", "owner": "eve", "wait_ms": 60_000 });
    assert_eq!(kept.post("/v1/acquire", &again).await.0, StatusCode::OK, "it was released");
    assert!(!goes_on.is_finished());
    assert_eq!(kept.post("/v1/release", &lease).await.0, StatusCode::OK);
    goes_on.abort();
}

/// A name that leads here brings no token, so it is free; a page of another origin is refused still.
#[tokio::test]
async fn tokens_free_the_name_of_the_service_and_not_the_origin() {
    let (access, [_, (_, secret), _]) = of_each_role();
    let server = serve(&access).await;
    let get = || server.request(Method::GET, "/v1/locks").bearer_auth(&secret);
    let named = get().header("host", "locks.example:7420");
    assert_eq!(answer(named).await.0, StatusCode::OK);
    let (status, problem) = answer(get().header("origin", "http://evil.example")).await;
    assert_eq!((status, &problem["kind"]), (StatusCode::FORBIDDEN, &json!("cross_origin")));
}

/// A token sees its keys alone, and acts by its role; each act leaves a line of the audit log.
#[tokio::test]
async fn page_is_for_those_who_have_a_token() {
    let (operator, one) = token("ops", Role::Operate, &[]);
    let (reader, other) = token("team", Role::Read, &["team/"]);
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(folder.path().join("audit.jsonl")).unwrap();
    let service = Service::new(Arc::new(MemoryBackend::new()), ServiceConfig::new());
    let service = service.with_access(Access::with_tokens(read(&[&one, &other])));
    let server = Server::of(service.with_audit(log)).await;
    let ops = Client { server: &server, secret: &operator };
    let lease = ops.acquired("team/prod", "alice").await;
    ops.acquired("secret/prod", "bob").await;
    let request = lease["request"].as_str().unwrap();

    let response = server.request(Method::GET, "/").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let get = async |path: &str, secret: &str| {
        let response = server.request(Method::GET, path).basic_auth("me", Some(secret)).send();
        let response = response.await.unwrap();
        (response.status(), response.text().await.unwrap())
    };
    let (status, listed) = get("/", &reader).await;
    assert_eq!(status, StatusCode::OK);
    assert!(listed.contains("team/prod") && !listed.contains("secret"), "{listed}");
    let (status, shown) = get("/locks/team/prod", &reader).await;
    assert_eq!(status, StatusCode::OK);
    assert!(shown.contains("alice") && !shown.contains(request), "{shown}");
    assert!(!shown.contains("/page/evict"), "{shown}");
    for path in ["/locks/secret/prod", "/page/changes?key=secret/prod"] {
        assert_eq!(get(path, &reader).await.0, StatusCode::FORBIDDEN, "{path}");
    }
    let form = format!("/page/evict?key=team/prod&request={request}&token={}", lease["token"]);
    assert_eq!(get(&form, &reader).await.0, StatusCode::FORBIDDEN);

    let response = server.request(Method::GET, &form).basic_auth("me", Some(&operator)).send();
    let response = response.await.unwrap();
    let cookie =
        response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let html = response.text().await.unwrap();
    let csrf = html.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let token = lease["token"].to_string();
    let fields = [
        ("csrf", csrf),
        ("key", "team/prod"),
        ("request", request),
        ("token", &token),
        ("by", "carol"),
        ("reason", "gone"),
    ];
    for (secret, expected) in [(&reader, StatusCode::FORBIDDEN), (&operator, StatusCode::SEE_OTHER)]
    {
        let post = server.no_redirect(Method::POST, "/page/evict").basic_auth("me", Some(secret));
        let posted = post.header("cookie", &cookie).form(&fields).send().await.unwrap();
        assert_eq!(posted.status(), expected);
    }
    let lines = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    let line: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    for (field, value) in [("token", "ops"), ("act", "evict"), ("by", "carol"), ("reason", "gone")]
    {
        assert_eq!(line[field], value, "{line}");
    }
}

/// A client cannot fill the memory of the service, and the others go on.
#[tokio::test]
async fn requests_of_a_token_that_wait_are_limited() {
    let (one, lines) = token("one", Role::Use, &[]);
    let (other, more) = token("other", Role::Use, &[]);
    let access = Access::with_tokens(read(&[&lines, &more]));
    let service = Service::new(Arc::new(MemoryBackend::new()), ServiceConfig::new().with_waits(2));
    let server = Server::of(service.with_access(access)).await;
    let [one, other] = [&one, &other].map(|secret| Client { server: &server, secret });
    let lease = other.acquired("deploy", "alice").await;
    let asks = json!({ "key": "deploy", "owner": "bob", "wait_ms": 60_000 });
    let waits: Vec<_> = (0..2)
        .map(|_| tokio::spawn(one.request(Method::POST, "/v1/acquire").json(&asks).send()))
        .collect();
    let mut waiting = 0;
    while waiting < 2 {
        waiting = one.get("/v1/locks/deploy").await.1["value"]["waiting"].as_u64().unwrap();
    }
    let (status, problem) = one.post("/v1/acquire", &asks).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        (&problem["kind"], &problem["outcome"]),
        (&json!("too_many_waits"), &json!("did_not_happen"))
    );
    // Asking once is no wait, and others have a limit of their own.
    let once = json!({ "key": "deploy", "owner": "bob" });
    assert_eq!(one.post("/v1/acquire", &once).await.1["kind"], "wait_over");
    let short = json!({ "key": "deploy", "owner": "carol", "wait_ms": 1 });
    assert_eq!(other.post("/v1/acquire", &short).await.1["kind"], "wait_over");
    // One that ends makes room for the next.
    let name = json!({ "key": "deploy", "request": lease["request"], "token": lease["token"] });
    assert_eq!(other.post("/v1/release", &name).await.0, StatusCode::OK);
    let mut kind = json!("too_many_waits");
    while kind == "too_many_waits" {
        let short = json!({ "key": "deploy", "owner": "bob", "wait_ms": 1 });
        kind = one.post("/v1/acquire", &short).await.1["kind"].clone();
    }
    assert_eq!(kind, "wait_over");
    waits.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn queues_are_for_those_who_may_read_and_of_keys_that_are_covered() {
    let (operator, one) = token("ops", Role::Operate, &[]);
    let (reader, other) = token("team", Role::Read, &["project:acme/infra:"]);
    let (none, third) = token("elsewhere", Role::Operate, &["team/"]);
    let server = serve(&Access::with_tokens(read(&[&one, &other, &third]))).await;
    let ops = Client { server: &server, secret: &operator };
    let mut requests = Vec::new();
    for repo in ["acme/infra", "acme/secret"] {
        let key = format!("project:{repo}:vpc:default::github.com");
        let lease = ops.acquired(&key, &format!("pull:github.com:{repo}:1")).await;
        requests.push(lease["request"].as_str().unwrap().to_owned());
        let wait =
            json!({ "key": key, "owner": format!("pull:github.com:{repo}:2"), "wait_ms": 1 });
        assert_eq!(ops.post("/v1/acquire", &wait).await.0, StatusCode::CONFLICT);
    }
    let response = server.request(Method::GET, "/queues").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let get = async |path: &str, secret: &str| {
        let response = server.request(Method::GET, path).basic_auth("me", Some(secret)).send();
        let response = response.await.unwrap();
        (response.status(), response.text().await.unwrap())
    };
    let (status, all) = get("/queues", &operator).await;
    assert_eq!(status, StatusCode::OK);
    assert!(all.contains("acme/infra/vpc") && all.contains("acme/secret/vpc"), "{all}");
    let (status, own) = get("/queues", &reader).await;
    assert_eq!(status, StatusCode::OK);
    assert!(own.contains("1 queue, 1 waiting") && own.contains("acme/infra/vpc"), "{own}");
    assert!(!own.contains("secret"), "{own}");
    assert!(requests.iter().all(|request| !own.contains(request)), "{own}");
    let (_, nothing) = get("/queues", &none).await;
    assert!(!nothing.contains("acme") && nothing.contains("No pull request waits"), "{nothing}");
    // The pages of a reader name nothing to the outside, and lead to all.
    for number in 0..110 {
        let key = format!("project:acme/infra:p-{number:03}:default::github.com");
        ops.acquired(&key, "alice").await;
        let wait = json!({ "key": key, "owner": "bob", "wait_ms": 1 });
        assert_eq!(ops.post("/v1/acquire", &wait).await.0, StatusCode::CONFLICT);
    }
    let (mut path, mut queues, mut pages) = ("/queues".to_owned(), 0, 0);
    loop {
        let (status, page) = get(&path, &reader).await;
        assert_eq!(status, StatusCode::OK, "{path}: {page}");
        queues += page.matches("href=\"/locks/project:acme/infra:").count();
        pages += 1;
        let Some(next) = page.split("id=\"next\" rel=\"next\" href=\"").nth(1) else { break };
        path = next.split('"').next().unwrap().to_owned();
        assert!(!path.contains("acme") && !path.contains("p-0"), "{path}");
    }
    assert_eq!((queues, pages), (111, 2));
    // A cursor of another listing opens nothing.
    let (_, locks) = get("/", &reader).await;
    let next = locks.split("id=\"next\" rel=\"next\" href=\"/?after=").nth(1).unwrap();
    let other = next.split('"').next().unwrap();
    for after in [other, "project%3Aacme%2Fsecret"] {
        let (status, _) = get(&format!("/queues?after={after}"), &reader).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{after}");
    }
}
