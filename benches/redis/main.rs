//! Cost of a lock in Redis, compared with a bare connection, two bare scripts and another lock.
//!
//! `pair` is one acquire and its release by tasks without contention, `distance` the same over a
//! line with a round trip of 20 ms; `contend` is workers of one process that take one lock in turn,
//! `processes` the same with processes; `growth` is one lock with ever more waiters, `heartbeats`
//! what waiters cost while nothing happens, `held` and `renew` many held locks. The contestants
//! take turns within every round, and what counts is the median of the rounds, or of their ratios:
//! the machine is never the same for long.
//!
//! `LOCK_BENCH_ROUNDS` is the number of rounds, 5 if not given. With `LOCK_BENCH_CHARTS=1` the
//! tables and charts in `docs/bench` are written anew.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod charts;
mod contention;
mod contestants;
mod distance;
mod figures;
mod growth;
mod heartbeats;
mod holdings;
mod machine;
mod meter;
mod pairs;
mod processes;
mod report;
mod samples;
mod store;
mod table;

use std::env;

use lock_testkit_redis::server::RedisServer;

use contestants::Field;
use machine::Machine;
use meter::Meter;
use samples::Samples;

fn main() {
    // Without this word it is a test run, which is not about time.
    if !env::args().any(|word| word == "--bench") {
        return;
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build().expect("a runtime can start").block_on(run());
}

async fn run() {
    if processes::work_if_told().await {
        return;
    }
    let rounds = env::var("LOCK_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok());
    let rounds: usize = rounds.unwrap_or(5).max(1);
    let server = RedisServer::start().await;
    let url = server.url();
    let mut meter = Meter::connect(&url).await;
    let field = Field::connect(&url).await;
    let mut samples = Samples::default();

    pairs::measure(&field, &mut meter, &mut samples, rounds).await;
    contention::measure(&field, &mut meter, &mut samples, rounds).await;
    processes::measure(&url, &mut meter, &mut samples, rounds).await;
    distance::measure(server.addr(), &mut samples, rounds).await;
    growth::measure(&url, &mut meter, &mut samples, rounds).await;
    heartbeats::measure(&url, &mut meter, &mut samples).await;
    holdings::measure(&url, &mut meter, &mut samples, rounds).await;

    let machine = Machine::look(&mut meter).await;
    let (tables, figures) = (report::tables(&samples), figures::all(&samples));
    println!("{machine}\n\n{tables}");
    for figure in &figures {
        println!("{figure}");
    }
    if env::var("LOCK_BENCH_CHARTS").is_ok_and(|text| text == "1") {
        charts::draw(&samples, &machine);
        report::write(&machine, &tables, &figures);
    }
}
