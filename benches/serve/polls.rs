//! 10,000 clients that wait in long polls.

use std::time::{Duration, Instant};

use super::child::Server;
use super::client::Client;
use super::figure;

const CLIENTS: usize = 10_000;
/// Keys that they wait for.
const KEYS: usize = 100;
/// Time that they are watched for, longer than two heartbeats.
const SPAN: Duration = Duration::from_secs(30);

pub(crate) async fn polls() {
    let server = Server::start("memory");
    let mut holder = Client::connect(&server.address).await;
    for key in 0..KEYS {
        let body = format!(r#"{{"key":"poll-{key}","owner":"holder","ttl":"never"}}"#);
        holder.call("/v1/acquire", &body).await;
    }
    let before = server.resident();
    let mut clients = Vec::with_capacity(CLIENTS);
    for number in 0..CLIENTS {
        let mut client = Client::connect(&server.address).await;
        let key = number % KEYS;
        let body = format!(r#"{{"key":"poll-{key}","owner":"waiter","wait_ms":3600000}}"#);
        client.send("/v1/acquire", &body).await;
        clients.push(client);
    }
    // Until all of them wait.
    let mut waiting = 0;
    while waiting < CLIENTS {
        tokio::time::sleep(Duration::from_millis(100)).await;
        waiting = 0;
        for key in 0..KEYS {
            waiting += waiters(&server, key).await;
        }
    }
    let bytes = server.resident().saturating_sub(before) / CLIENTS as u64;
    let (used, since) = (server.processor(), Instant::now());
    tokio::time::sleep(SPAN).await;
    let used = Duration::from_nanos(server.processor() - used);
    let percent = used.as_secs_f64() / since.elapsed().as_secs_f64() * 100.0;
    println!("| {CLIENTS} long polls | |\n|---|---:|");
    println!("| resident bytes of each | {bytes} |");
    println!("| processor, of one core | {percent:.2} % |");
    figure("polls.kib-each", bytes as f64 / 1024.0, 30.0, true);
    figure("polls.percent-of-a-core", percent, 5.0, true);
    drop(clients);
}

async fn waiters(server: &Server, key: usize) -> usize {
    let mut client = Client::connect(&server.address).await;
    let seen = client.get(&format!("/v1/locks/poll-{key}?limit=1")).await;
    let seen: serde_json::Value = serde_json::from_str(&seen).expect("JSON");
    seen["value"]["waiting"].as_u64().expect("a number") as usize
}
