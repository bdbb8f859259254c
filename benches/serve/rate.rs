//! Requests in a second, of 64 clients that keep their connections.

use std::time::{Duration, Instant};

use super::child::Server;
use super::client::Client;
use super::figure;

const CLIENTS: usize = 64;
/// Rounds, of which the median counts.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

/// What a client calls again and again.
#[derive(Clone, Copy)]
enum Call {
    /// The empty route, with the body of an acquire.
    Empty,
    /// Acquires a key of its own, and releases it.
    Pair,
}

pub(crate) async fn rates() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("locks.db");
    let file = path.to_str().expect("a plain path");
    let servers = ["empty", "memory", file].map(Server::start);
    let mut rates = [(); 3].map(|()| Vec::new());
    for _ in 0..ROUNDS {
        // Interleaved, as a machine is not always the same.
        for (index, server) in servers.iter().enumerate() {
            let call = if index == 0 { Call::Empty } else { Call::Pair };
            rates[index].push(rate(&server.address, call).await);
        }
    }
    let [empty, memory, sqlite] = rates.map(median);
    println!("| served | requests/s, median of {ROUNDS} |\n|---|---:|");
    println!("| an empty route | {empty:.0} |");
    println!("| locks in memory | {memory:.0} |");
    println!("| locks in SQLite, `NORMAL` | {sqlite:.0} |");
    figure("requests.memory-of-empty", memory / empty, 0.5, false);
    figure("requests.sqlite-of-empty", sqlite / empty, 0.2, false);
}

async fn rate(address: &str, call: Call) -> f64 {
    let until = Instant::now() + ROUND;
    let clients = (0..CLIENTS).map(|number| {
        let address = address.to_owned();
        tokio::spawn(async move {
            let mut client = Client::connect(&address).await;
            let mut count = 0;
            while Instant::now() < until {
                count += turn(&mut client, call, number).await;
            }
            count
        })
    });
    let mut sum = 0;
    for client in clients.collect::<Vec<_>>() {
        sum += client.await.expect("no panic");
    }
    f64::from(sum) / ROUND.as_secs_f64()
}

async fn turn(client: &mut Client, call: Call, number: usize) -> u32 {
    let body = format!(r#"{{"key":"key-{number}","owner":"bench"}}"#);
    let answer = client.call("/v1/acquire", &body).await;
    if matches!(call, Call::Empty) {
        return 1;
    }
    // Cut out and not parsed: the client takes as little of the processor as it can.
    let [request, token] = ["\"request\":", "\"token\":"].map(|name| field(&answer, name));
    let body = format!(r#"{{"key":"key-{number}","request":{request},"token":{token}}}"#);
    client.call("/v1/release", &body).await;
    2
}

/// The value behind a name, up to the next comma.
fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    let value = answer.split_once(name).expect("a lease").1;
    value.split([',', '}']).next().expect("a value")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
