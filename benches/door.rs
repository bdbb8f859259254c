//! Cost of Atlantis' commands at the service in the protocol of its Redis, relative to a real Redis with
//! the same client in the same run.

#![expect(clippy::print_stdout, reason = "the table and the figures are the result")]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::env;
use std::future::pending;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lock_atlantis_server::{AtlantisService, AtlantisServiceConfig};
use lock_compat::LockAdapter;
use lock_compat::conformance::lock;
use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::{LegacyKey, encode};
use lock_core::{LockManager, OwnerId};
use lock_memory::MemoryBackend;
use lock_server::Access;
use lock_testkit_redis::server::RedisServer;
use redis::aio::MultiplexedConnection;
use tokio::net::TcpListener;

/// Makes the benchmark the server.
const VARIABLE: &str = "LOCK_BENCH_DOOR";
/// Sequences of one measurement.
const SEQUENCES: u32 = 4000;
/// Measurements of each server, taken in turn; the median counts.
const MEASUREMENTS: usize = 5;
/// Least part of the rate of a Redis.
const TARGET: f64 = 0.5;

fn main() {
    if env::var_os(VARIABLE).is_some() {
        return serve();
    }
    // Cargo asks every benchmark to be quick when it tests them.
    if env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(measure());
}

/// Serves until it is killed, or its parent ends.
fn serve() {
    std::thread::spawn(|| {
        // The parent holds the other end.
        let _ = std::io::stdin().lines().next();
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        println!("{}", listener.local_addr().expect("it has an address"));
        let owner = OwnerId::parse("atlantis").expect("a valid owner");
        let manager = LockManager::new(MemoryBackend::new(), owner);
        let adapter = LockAdapter::new(manager, MemoryDocuments::new());
        let config = AtlantisServiceConfig::new();
        AtlantisService::new(adapter, Access::open(), config)
            .serve(listener, None, pending())
            .await;
    });
}

/// The server in a process of its own, killed with the value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start() -> (Server, String) {
    let program = env::current_exe().expect("the path of this program");
    let mut command = Command::new(program);
    command.env(VARIABLE, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("a process starts");
    let stdout = child.stdout.take().expect("it was piped");
    let mut address = String::new();
    BufReader::new(stdout).read_line(&mut address).expect("it says where it listens");
    (Server(child), format!("redis://{}/", address.trim()))
}

async fn measure() {
    let (redis, (_server, url)) = (RedisServer::start().await, start());
    let (own, real) = (clients(&url).await, clients(&redis.url()).await);
    println!("{:<10}{:>16}{:>16}{:>8}", "clients", "here, 1/s", "Redis, 1/s", "ratio");
    for count in [1, own.len()] {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for _ in 0..MEASUREMENTS {
            here.push(rate(&own[..count]).await);
            there.push(rate(&real[..count]).await);
        }
        let (here, there) = (median(here), median(there));
        let ratio = here / there;
        println!("{count:<10}{here:>16.0}{there:>16.0}{ratio:>8.2}");
        let verdict = if ratio >= TARGET { "ok" } else { "short" };
        println!("figure door.get-set-del.{count}-clients {ratio:.3} {TARGET:.3} {verdict}");
    }
}

/// Connections, one for each client.
async fn clients(url: &str) -> Vec<MultiplexedConnection> {
    let client = redis::Client::open(url).expect("a URL");
    let mut clients = Vec::new();
    for _ in 0..16 {
        clients.push(client.get_multiplexed_async_connection().await.expect("it is served"));
    }
    clients
}

/// Sequences in a second: a lock is read, made, read and ended, as by `TryLock` and `Unlock`.
async fn rate(clients: &[MultiplexedConnection]) -> f64 {
    let begin = Instant::now();
    let each = SEQUENCES / u32::try_from(clients.len()).expect("few clients");
    let work = clients.iter().enumerate().map(|(number, client)| {
        let mut client = client.clone();
        tokio::spawn(async move {
            let lock = lock("acme/infra", &format!("modules/{number}"), "default", 7);
            let (key, value) = (format!("pr/{}", LegacyKey::of(&lock)), encode(&lock));
            for _ in 0..each {
                sequence(&mut client, &key, &value).await.expect("each command succeeds");
            }
        })
    });
    for work in work.collect::<Vec<_>>() {
        work.await.expect("no client fails");
    }
    f64::from(SEQUENCES) / begin.elapsed().max(Duration::from_nanos(1)).as_secs_f64()
}

async fn sequence(
    client: &mut MultiplexedConnection,
    key: &str,
    value: &[u8],
) -> redis::RedisResult<()> {
    let _: Option<Vec<u8>> = redis::cmd("GET").arg(key).query_async(client).await?;
    let () = redis::cmd("SET").arg(key).arg(value).query_async(client).await?;
    let _: Option<Vec<u8>> = redis::cmd("GET").arg(key).query_async(client).await?;
    let deleted: i64 = redis::cmd("DEL").arg(key).query_async(client).await?;
    assert_eq!(deleted, 1, "the lock was there");
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
