//! Two that lock, or write a status, at the same time, as two Atlantis do: each reads on one connection
//! of its pool and writes on another one.

use std::sync::Arc;

use lock_compat::conformance::lock;
use lock_testkit_redis::server::RedisServer;
use redis::aio::MultiplexedConnection;
use serde_json::Value;
use tokio::sync::Barrier;

use crate::common::{Server, ask, key, text};

const ROUNDS: usize = 500;
const STATUS_ROUNDS: usize = 200;

/// An Atlantis: two connections of its pool.
struct Atlantis {
    reads: MultiplexedConnection,
    writes: MultiplexedConnection,
    both_have_read: Arc<Barrier>,
}

impl Atlantis {
    /// Reads a key, and writes if nothing is there; `true` if it believes that it locked.
    async fn locks(&mut self, key: &str, value: &str) -> bool {
        let there: Option<String> = ask(&mut self.reads, &["GET", key]).await.unwrap();
        self.both_have_read.wait().await;
        there.is_none() && ask::<String>(&mut self.writes, &["SET", key, value]).await.is_ok()
    }
}

/// Makes two Atlantis, each with a pool of its own.
async fn two(connect: impl AsyncFn() -> MultiplexedConnection) -> (Atlantis, Atlantis) {
    let both_have_read = Arc::new(Barrier::new(2));
    let one = async || Atlantis {
        reads: connect().await,
        writes: connect().await,
        both_have_read: Arc::clone(&both_have_read),
    };
    (one().await, one().await)
}

/// The number of winners of each round.
async fn winners(
    (mut one, mut two): (Atlantis, Atlantis),
    record: impl Fn(usize, i64) -> (String, String),
) -> [usize; 3] {
    let mut rounds = [0; 3];
    for round in 0..ROUNDS {
        let ((key, first), (_, second)) = (record(round, 1), record(round, 2));
        let (one, two) = tokio::join!(one.locks(&key, &first), two.locks(&key, &second));
        rounds[usize::from(one) + usize::from(two)] += 1;
    }
    rounds
}

fn project(round: usize, pull: i64) -> (String, String) {
    let lock = lock("acme/infra", &format!("folder-{round}"), "default", pull);
    (key(&lock), text(&lock))
}

/// The same bytes from both, as in one second.
fn command(round: usize, _: i64) -> (String, String) {
    // A name has letters alone.
    let letter = |number: usize| char::from(b'a' + (number % 26) as u8);
    let name: String = [round / 676, round / 26, round].map(letter).iter().collect();
    let value = format!(r#"{{"LockMetadata":{{"UnixTime":{round}}},"CommandName":0}}"#);
    (format!("global/{name}/lock"), value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_locks_a_project_in_every_round() {
    let server = Server::start().await;
    assert_eq!(
        winners(two(async || server.client(None).await).await, project).await,
        [0, ROUNDS, 0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_locks_a_command_in_every_round() {
    let server = Server::start().await;
    assert_eq!(
        winners(two(async || server.client(None).await).await, command).await,
        [0, ROUNDS, 0]
    );
}

/// What this is all about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_lock_in_a_redis() {
    let server = RedisServer::start().await;
    let client = redis::Client::open(server.url()).unwrap();
    let connect = async || client.get_multiplexed_async_connection().await.unwrap();
    assert_eq!(winners(two(connect).await, project).await, [0, 0, ROUNDS]);
}

/// Reads a status, adds a project, and writes it; repeats it until it succeeds, as a person would.
async fn adds(atlantis: &mut Atlantis, key: &str, name: &str) -> usize {
    let mut refused = 0;
    loop {
        let there: Option<String> = ask(&mut atlantis.reads, &["GET", key]).await.unwrap();
        if refused == 0 {
            atlantis.both_have_read.wait().await;
        }
        let empty = || serde_json::json!({ "Projects": [], "Pull": { "Num": 7 } });
        let mut status = there.map_or_else(empty, |text| serde_json::from_str(&text).unwrap());
        let project = serde_json::json!({ "Workspace": "default", "RepoRelDir": name });
        status["Projects"].as_array_mut().unwrap().push(project);
        let set = ["SET", key, &status.to_string()];
        match ask::<String>(&mut atlantis.writes, &set).await {
            Ok(_) => return refused,
            Err(error) => assert!(error.contains("changed since it was read"), "{error}"),
        }
        refused += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_status_is_lost_and_one_of_two_writers_is_told() {
    let server = Server::start().await;
    let (mut one, mut other) = two(async || server.client(None).await).await;
    for round in 0..STATUS_ROUNDS {
        let key = format!("github.com::acme/infra::{round}");
        let (one_is, other_is) =
            tokio::join!(adds(&mut one, &key, "a"), adds(&mut other, &key, "b"));
        assert_eq!(one_is + other_is, 1, "both had read the same");
        let read: String = ask(&mut one.reads, &["GET", &key]).await.unwrap();
        let read: Value = serde_json::from_str(&read).unwrap();
        assert_eq!(read["Projects"].as_array().unwrap().len(), 2, "{read}");
    }
}
