//! Cost of many held locks: renewals of a manager over the memory backend.
//!
//! For each number of leases of the usual length, of 30 seconds: how much of a core their renewal
//! takes for a minute, how many are lost, and how long the slowest turn of another key takes
//! meanwhile. All of it runs on one thread.

#![expect(clippy::print_stdout, reason = "the figures are the result")]

use std::fs;
use std::time::Duration;

use lock_core::{LockManager, OwnerId};
use lock_memory::MemoryBackend;
use tokio::runtime::Builder;
use tokio::time::{Instant, interval};

const MINUTE: Duration = Duration::from_secs(60);
/// The share of a core that 300,000 leases may take.
const MOST: f64 = 0.10;

fn main() {
    println!("{:>10}  {:>8}  {:>6}  {:>14}", "leases", "core", "lost", "slowest turn");
    for count in [10_000, 100_000, 300_000] {
        let runtime = Builder::new_current_thread().enable_time().build();
        let (share, lost, slowest) = runtime.expect("a runtime can start").block_on(hold(count));
        println!("{count:>10}  {share:>8.3}  {lost:>6}  {:>11.1} ms", slowest.as_secs_f64() * 1e3);
        if count == 300_000 {
            let verdict = if share <= MOST && lost == 0 { "ok" } else { "short" };
            println!("figure held.300000.core {share:.3} {MOST:.3} {verdict}");
        }
    }
}

/// Holds so many leases for a minute.
async fn hold(count: usize) -> (f64, usize, Duration) {
    let owner = OwnerId::parse("acme/infra#1234").expect("a valid owner");
    let manager = LockManager::new(MemoryBackend::new(), owner);
    let mut guards = Vec::with_capacity(count);
    for number in 0..count {
        let key = format!("acme/infra/project-{number:06}");
        guards.push(manager.acquire(key).await.expect("nobody else asks"));
    }
    let (start, before) = (Instant::now(), cpu_time());
    let mut slowest = Duration::ZERO;
    let mut ticks = interval(Duration::from_millis(5));
    while start.elapsed() < MINUTE {
        let tick = ticks.tick().await;
        let guard = manager.acquire("another").await.expect("nobody else asks");
        guard.release().await.expect("held until released");
        slowest = slowest.max(tick.elapsed());
    }
    let share = (cpu_time() - before).as_secs_f64() / start.elapsed().as_secs_f64();
    let lost = guards.iter().filter(|guard| guard.is_lost()).count();
    (share, lost, slowest)
}

/// The time that this thread has run.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    let nanos = stat.split_whitespace().next().expect("the first number is the running time");
    Duration::from_nanos(nanos.parse().expect("a number of nanoseconds"))
}
