//! Cost of turns in an SQLite file, relative to the same work without locks in the same run.

#![expect(clippy::print_stdout, reason = "the tables and figures are the result")]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

mod alone;
mod many;
mod processes;
mod raw;

use std::path::Path;
use std::time::Duration;

use lock_core::{AcquireRequest, LockKey, OwnerId, RequestId};
use lock_sqlite::{SqliteBackend, SqliteConfig, Synchronous};

fn main() {
    if processes::is_child() {
        return processes::child();
    }
    // Cargo asks every benchmark to be quick when it tests them.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    alone::pairs();
    alone::floor();
    alone::queues();
    many::tasks();
    many::writers();
    many::contenders();
    processes::hand_offs();
    processes::waiting();
}

/// Prints a figure with its target.
fn figure(name: &str, value: f64, target: f64, most: bool) {
    let verdict = if (value <= target) == most { "ok" } else { "short" };
    println!("figure sqlite.{name} {value:.3} {target:.3} {verdict}");
}

fn open(path: &Path, synchronous: Synchronous) -> SqliteBackend {
    SqliteConfig::new(path).with_synchronous(synchronous).open().expect("the file opens")
}

fn key(text: &str) -> LockKey {
    LockKey::parse(text).expect("a valid key")
}

fn request(key: &LockKey) -> AcquireRequest {
    let owner = OwnerId::parse("bench").expect("a valid owner");
    AcquireRequest::new(RequestId::random(), key.clone(), owner)
}

fn median(mut spans: Vec<Duration>) -> Duration {
    quantile(&mut spans, 50)
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn quantile(spans: &mut [Duration], percent: usize) -> Duration {
    spans.sort_unstable();
    spans[(spans.len() - 1) * percent / 100]
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}
