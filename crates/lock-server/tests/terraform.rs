//! Terraform's `http` backend, called as Terraform does.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{Server, answer};
use lock_core::{LockStore, ManualClock, Priority, RequestId, Timestamp};
use lock_memory::MemoryBackend;
use lock_server::{FileStates, Service, ServiceConfig, TerraformPolicy, TerraformRule};
use lock_sqlite::SqliteConfig;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

const STATE: &str = "/terraform/team/prod";

/// A service with states in a folder, and its folder.
async fn start(config: ServiceConfig) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(Arc::new(MemoryBackend::new()), config, folder.path()).await;
    (server, folder)
}

async fn serve(store: Arc<dyn LockStore>, config: ServiceConfig, folder: &Path) -> Server {
    let service = Service::new(store, config);
    Server::of(service.with_terraform(Arc::new(FileStates::new(folder.join("states"))))).await
}

fn patient(patience: Duration) -> ServiceConfig {
    ServiceConfig::new().with_terraform_patience(patience)
}

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).expect("a method")
}

/// A `LockInfo` with an `ID` of its own.
fn info(who: &str) -> Value {
    let digits = format!("{:032x}", RequestId::random().to_bits());
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    json!({ "ID": parts.join("-"), "Operation": "OperationTypeApply", "Info": "", "Who": who,
            "Version": "1.15.5", "Created": "2026-11-29T00:00:00Z", "Path": "" })
}

async fn call(server: &Server, name: &str, body: &Value) -> (StatusCode, Value) {
    let response = server.request(method(name), STATE).json(body).send().await.expect("an answer");
    let status = response.status();
    (status, serde_json::from_slice(&response.bytes().await.expect("a body")).unwrap_or_default())
}

/// `POST ?ID=`, as Terraform writes.
async fn write(server: &Server, lock: &Value, state: &'static str) -> (StatusCode, Value) {
    let id = lock["ID"].as_str().expect("an ID");
    answer(server.request(Method::POST, STATE).query(&[("ID", id)]).body(state)).await
}

async fn read(server: &Server) -> (StatusCode, String) {
    let response = server.request(Method::GET, STATE).send().await.expect("an answer");
    (response.status(), response.text().await.expect("a body"))
}

/// Starts a `LOCK` that waits.
fn spawn_lock(server: &Server, lock: &Value) -> tokio::task::JoinHandle<StatusCode> {
    let request = server.request(method("LOCK"), STATE).json(lock);
    tokio::spawn(async move { request.send().await.expect("an answer").status() })
}

const KEY: &str = "terraform/team/prod";

#[tokio::test]
async fn locks_are_granted_in_the_order_of_the_queue() {
    let (server, _folder) = start(ServiceConfig::new()).await;
    let [first, second, third] = ["first", "second", "third"].map(info);
    let (status, granted) = call(&server, "LOCK", &first).await;
    assert_eq!((status, &granted), (StatusCode::OK, &first));
    let waiting = spawn_lock(&server, &second);
    server.waiting(KEY, 1).await;
    let last = spawn_lock(&server, &third);
    server.waiting(KEY, 2).await;
    assert_eq!(call(&server, "UNLOCK", &first).await.0, StatusCode::OK);
    assert_eq!(waiting.await.expect("no panic"), StatusCode::OK);
    assert!(!last.is_finished());
    // An answer that was lost, and the call again: somebody else's lock stays.
    assert_eq!(call(&server, "UNLOCK", &first).await.0, StatusCode::CONFLICT);
    assert_eq!(call(&server, "UNLOCK", &second).await.0, StatusCode::OK);
    assert_eq!(last.await.expect("no panic"), StatusCode::OK);
    assert_eq!(call(&server, "UNLOCK", &third).await.0, StatusCode::OK);
    assert_eq!(call(&server, "UNLOCK", &third).await.0, StatusCode::OK);
}

/// A `LockInfo` of a plan.
fn plan(who: &str) -> Value {
    let mut info = info(who);
    info["Operation"] = "OperationTypePlan".into();
    info
}

#[tokio::test]
async fn plans_share_the_lock_where_the_policy_says_so() {
    let plans = TerraformRule::new().with_operations(["plan"]).shared();
    let policy = TerraformPolicy::new([plans]);
    let (server, _folder) = start(ServiceConfig::new().with_terraform_policy(policy)).await;
    let (plans, apply) = ([plan("first"), plan("second")], info("apply"));
    for plan in &plans {
        assert_eq!(call(&server, "LOCK", plan).await.0, StatusCode::OK);
    }
    let applying = spawn_lock(&server, &apply);
    server.waiting(KEY, 1).await;
    // Fair: a plan that comes later waits behind the apply.
    let late = plan("late");
    let planning = spawn_lock(&server, &late);
    server.waiting(KEY, 2).await;
    let (status, problem) = write(&server, &plans[0], "{}").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().unwrap().contains("is shared"), "{problem}");
    assert_eq!(call(&server, "UNLOCK", &plans[0]).await.0, StatusCode::OK);
    assert!(!applying.is_finished());
    assert_eq!(call(&server, "UNLOCK", &plans[1]).await.0, StatusCode::OK);
    assert_eq!(applying.await.unwrap(), StatusCode::OK);
    assert_eq!(write(&server, &apply, "{}").await.0, StatusCode::OK);
    assert!(!planning.is_finished());
    assert_eq!(call(&server, "UNLOCK", &apply).await.0, StatusCode::OK);
    assert_eq!(planning.await.unwrap(), StatusCode::OK);
}

#[tokio::test]
async fn priority_follows_the_policy() {
    let rules = Priority::ALL.map(|priority| {
        TerraformRule::new().with_users([priority.as_str()]).with_priority(priority)
    });
    let policy = TerraformPolicy::new(rules);
    let (server, _folder) = start(ServiceConfig::new().with_terraform_policy(policy)).await;
    let holder = info("anybody");
    assert_eq!(call(&server, "LOCK", &holder).await.0, StatusCode::OK);
    for (count, priority) in (1..).zip(Priority::ALL) {
        drop(spawn_lock(&server, &info(&format!("{}@runner", priority.as_str()))));
        server.waiting(KEY, count).await;
    }
    let (_, seen) = server.get(&format!("/v1/locks/{KEY}")).await;
    let waiters = seen["value"]["waiters"]["items"].as_array().unwrap();
    let owners: Vec<_> = waiters.iter().map(|waiter| waiter["owner"].as_str().unwrap()).collect();
    assert_eq!(owners, ["critical@runner", "high@runner", "normal@runner", "low@runner"]);
}

/// A policy may end locks that nobody unlocks; the writer that comes back too late is refused.
#[tokio::test]
async fn lease_of_a_policy_ends_by_itself() {
    let hour = Duration::from_secs(3600);
    let rule = TerraformRule::new().with_lease(hour).unwrap();
    let config = ServiceConfig::new().with_terraform_policy(TerraformPolicy::new([rule]));
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1)));
    let store = MemoryBackend::with_clock(Arc::<ManualClock>::clone(&clock));
    let folder = tempfile::tempdir().unwrap();
    let server = serve(Arc::new(store), config, folder.path()).await;
    let (gone, next) = (info("gone"), info("next"));
    assert_eq!(call(&server, "LOCK", &gone).await.0, StatusCode::OK);
    clock.advance(hour);
    assert_eq!(call(&server, "LOCK", &next).await.0, StatusCode::OK);
    assert_eq!(write(&server, &gone, "{}").await.0, StatusCode::CONFLICT);
    assert_eq!(write(&server, &next, "{}").await.0, StatusCode::OK);
}

#[tokio::test]
async fn lock_lasts_until_it_is_unlocked() {
    let (server, _folder) = start(ServiceConfig::new()).await;
    assert_eq!(call(&server, "LOCK", &info("alice")).await.0, StatusCode::OK);
    let (_, seen) = server.get(&format!("/v1/locks/{KEY}")).await;
    assert_eq!(seen["value"]["leases"][0]["expires_at"], Value::Null);
    assert_eq!(seen["value"]["leases"][0]["owner"], "alice");
}

/// With a patience, the answer names the holder and the place, and the next call goes on there.
#[tokio::test]
async fn place_is_kept_between_calls() {
    let (server, _folder) = start(patient(Duration::from_millis(1))).await;
    let [holder, waiter, newcomer] = ["holder", "waiter", "newcomer"].map(info);
    assert_eq!(call(&server, "LOCK", &holder).await.0, StatusCode::OK);
    let (status, held) = call(&server, "LOCK", &waiter).await;
    assert_eq!((status, &held["ID"]), (StatusCode::LOCKED, &holder["ID"]));
    assert_eq!(held["Who"], "holder");
    assert_eq!(held["Info"], "number 1 of 1 in the queue");
    let (_, held) = call(&server, "LOCK", &newcomer).await;
    assert_eq!(held["Info"], "number 2 of 2 in the queue");
    call(&server, "UNLOCK", &holder).await;
    // It is the waiter's now, whoever asks first.
    let (status, held) = call(&server, "LOCK", &newcomer).await;
    assert_eq!((status, &held["Who"]), (StatusCode::LOCKED, &json!("waiter")));
    assert_eq!(call(&server, "LOCK", &waiter).await.0, StatusCode::OK);
}

/// Neither a server that is killed nor one that is restarted costs a place.
#[tokio::test]
async fn restart_in_mid_wait_keeps_the_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || -> Arc<dyn LockStore> {
        Arc::new(SqliteConfig::new(folder.path().join("locks.db")).open().expect("it opens"))
    };
    let server = serve(open(), ServiceConfig::new(), folder.path()).await;
    let [holder, waiter, other] = ["holder", "waiter", "other"].map(info);
    assert_eq!(call(&server, "LOCK", &holder).await.0, StatusCode::OK);
    let cut = spawn_lock(&server, &waiter);
    server.waiting(KEY, 1).await;
    server.service.shutdown().await;
    assert_eq!(cut.await.expect("no panic"), StatusCode::SERVICE_UNAVAILABLE);
    drop(server);
    let server = serve(open(), ServiceConfig::new(), folder.path()).await;
    let newcomer = spawn_lock(&server, &other);
    server.waiting(KEY, 2).await;
    assert_eq!(call(&server, "UNLOCK", &holder).await.0, StatusCode::OK);
    assert_eq!(call(&server, "LOCK", &waiter).await.0, StatusCode::OK);
    assert!(!newcomer.is_finished());
}

/// Nothing is granted to the dead for ever, though a lock lasts until it is unlocked.
#[tokio::test]
async fn lock_of_a_client_that_hung_up_is_over_after_a_minute() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
    let config = SqliteConfig::new(folder.path().join("locks.db")).with_clock(Arc::clone(&clock));
    let store: Arc<dyn LockStore> = Arc::new(config.open().expect("it opens"));
    let server = serve(store, ServiceConfig::new(), folder.path()).await;
    let [holder, dead, alive] = ["holder", "dead", "alive"].map(info);
    assert_eq!(call(&server, "LOCK", &holder).await.0, StatusCode::OK);
    let hangs_up = spawn_lock(&server, &dead);
    server.waiting(KEY, 1).await;
    hangs_up.abort();
    let waiting = spawn_lock(&server, &alive);
    server.waiting(KEY, 2).await;
    clock.advance(Duration::from_secs(61));
    assert_eq!(call(&server, "UNLOCK", &holder).await.0, StatusCode::OK);
    assert_eq!(waiting.await.expect("no panic"), StatusCode::OK);
}

#[tokio::test]
async fn write_needs_the_lock_that_it_names() {
    let (server, folder) = start(ServiceConfig::new()).await;
    assert_eq!(read(&server).await.0, StatusCode::NO_CONTENT);
    let lock = info("alice");
    assert_eq!(write(&server, &lock, "never").await.0, StatusCode::CONFLICT);
    call(&server, "LOCK", &lock).await;
    assert_eq!(write(&server, &lock, "one").await.0, StatusCode::OK);
    assert_eq!(read(&server).await, (StatusCode::OK, "one".to_owned()));
    let unnamed = server.request(Method::POST, STATE).body("two");
    let (status, problem) = answer(unnamed).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().expect("words").contains("lock_address"), "{problem}");
    assert_eq!(write(&server, &info("eve"), "three").await.0, StatusCode::CONFLICT);
    assert_eq!(read(&server).await.1, "one");
    // No refused body is lost.
    let refused = folder.path().join("states/team/prod.state~/refused");
    let files =
        std::fs::read_dir(refused).expect("a folder").map(|file| file.expect("a file").path());
    let mut bodies: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|it| it == "tfstate"))
        .map(|path| std::fs::read_to_string(path).expect("a body"))
        .collect();
    bodies.sort();
    assert_eq!(bodies, ["never", "three", "two"]);
}

/// An evicted holder writes nothing, whenever its write comes: 100 of 100.
#[tokio::test]
async fn evicted_holder_cannot_write() {
    let (server, _folder) = start(ServiceConfig::new()).await;
    for _ in 0..100 {
        let [evicted, next] = ["evicted", "next"].map(info);
        assert_eq!(call(&server, "LOCK", &evicted).await.0, StatusCode::OK);
        assert_eq!(write(&server, &evicted, "old").await.0, StatusCode::OK);
        // `force-unlock` sends no body.
        let forced = server.request(method("UNLOCK"), STATE).send().await.expect("an answer");
        assert_eq!(forced.status(), StatusCode::OK);
        assert_eq!(call(&server, "LOCK", &next).await.0, StatusCode::OK);
        assert_eq!(write(&server, &evicted, "late").await.0, StatusCode::CONFLICT);
        assert_eq!(read(&server).await.1, "old");
        let (status, problem) = call(&server, "UNLOCK", &evicted).await;
        assert_eq!(
            (status, &problem["end"]["evicted"]["reason"]),
            (StatusCode::GONE, &json!("force-unlock"))
        );
        assert_eq!(call(&server, "UNLOCK", &next).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn post_alone_is_enough() {
    let (server, _folder) = start(ServiceConfig::new()).await;
    let lock = info("alice");
    let post = |query: &str| server.request(Method::POST, &format!("{STATE}?{query}")).json(&lock);
    let status =
        async |request: reqwest::RequestBuilder| request.send().await.expect("an answer").status();
    assert_eq!(status(post("lock")).await, StatusCode::OK);
    assert_eq!(write(&server, &lock, "one").await.0, StatusCode::OK);
    assert_eq!(status(post("unlock")).await, StatusCode::OK);
    let (_, seen) = server.get(&format!("/v1/locks/{KEY}")).await;
    assert_eq!(seen["value"]["holders"], 0);
}

#[tokio::test]
async fn deleted_state_is_gone() {
    let (server, _folder) = start(ServiceConfig::new()).await;
    let lock = info("alice");
    call(&server, "LOCK", &lock).await;
    write(&server, &lock, "one").await;
    let delete = || server.request(Method::DELETE, STATE);
    assert_eq!(answer(delete()).await.0, StatusCode::CONFLICT);
    let id = lock["ID"].as_str().expect("an ID");
    assert_eq!(answer(delete().query(&[("ID", id)])).await.0, StatusCode::OK);
    assert_eq!(read(&server).await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn bad_input_changes_nothing() {
    let (server, folder) = start(ServiceConfig::new().with_state_bytes(20_000)).await;
    for path in
        ["/terraform/..%2f..%2fetc", "/terraform/a%2f..%2fb", "/terraform/a%20b", "/terraform/a%00"]
    {
        let lock = server.request(method("LOCK"), path).json(&info("eve"));
        assert_eq!(answer(lock).await.0, StatusCode::BAD_REQUEST, "{path}");
    }
    for body in [json!({}), json!({ "ID": "1" }), json!([]), json!({ "ID": 7 })] {
        assert_eq!(call(&server, "LOCK", &body).await.0, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(call(&server, "UNLOCK", &body).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
    let mut long = info("eve");
    long["Who"] = json!("x".repeat(10_000));
    assert_eq!(call(&server, "LOCK", &long).await.0, StatusCode::BAD_REQUEST);
    let lock = info("alice");
    call(&server, "LOCK", &lock).await;
    let id = lock["ID"].as_str().expect("an ID");
    let huge = server.request(Method::POST, STATE).query(&[("ID", id)]).body("x".repeat(20_001));
    assert_eq!(answer(huge).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        answer(server.request(method("PATCH"), STATE)).await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(read(&server).await.0, StatusCode::NO_CONTENT);
    let (_, page) = server.get("/v1/locks").await;
    assert_eq!(page["value"]["items"].as_array().map(Vec::len), Some(1));
    let states = std::fs::read_dir(folder.path().join("states")).expect("a folder");
    assert_eq!(states.count(), 1);
}
