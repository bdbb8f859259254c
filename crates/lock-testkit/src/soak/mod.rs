//! A soak: real processes that take turns on a real store while faults strike, and a check of what
//! they noted.
//!
//! A backend implements [`Target`]; [`main`] turns it into a program. The program runs rounds: for
//! each it starts a store and two to eight processes, which are the same program again, kills and
//! stops some of them, and troubles the store and the lines to it. Every process writes its actions
//! into a file of its own, by a clock that all share. At the end of the round the histories are
//! checked: no two believed at once that they hold, tokens and turns are in their order, no key was
//! free while somebody waited, and nothing is left.
//!
//! A seed draws the same rounds again; what the processes do in them depends on the machine, too.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program prints what it found")]

mod check;
mod clock;
mod history;
mod plan;
mod record;
mod recorder;
mod spans;
mod stall;
mod supervisor;
mod target;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use lock_core::LockKey;
use tokio::time::Instant;

use check::{Broken, Verdict, check};
use clock::Moment;
use history::{History, Request};
use plan::{Fault, Plan};
use worker::Orders;

pub use target::{Target, Trouble};

const USAGE: &str = "\
usage: soak [--seconds N] [--seed S]
       soak --planted

  --seconds N   as many rounds as that takes: 30
  --seed S      the seed of the first round; without, one that the time makes
  --planted     lose notices that come too early, and fail unless that is found
";

/// The number of findings of a round that are printed.
const SHOWN: usize = 8;

/// The whole program: the supervisor, and each of the processes that it starts.
///
/// # Panics
/// When the system gives no processes and no files.
#[must_use]
pub fn main<T: Target>() -> ExitCode {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime can start");
    if let Ok(orders) = std::env::var(worker::ORDERS) {
        let orders = Orders::read(&orders).expect("the supervisor wrote them");
        runtime.block_on(worker::run::<T>(orders));
        return ExitCode::SUCCESS;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    match Soak::parse(&args) {
        Some(soak) => runtime.block_on(soak.run::<T>()),
        None => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The key of this number.
fn key(number: u8) -> LockKey {
    LockKey::parse(format!("soak/{number}")).expect("a valid key")
}

/// The options of a soak.
struct Soak {
    first: u64,
    time: Duration,
    is_planted: bool,
}

impl Soak {
    fn parse(args: &[String]) -> Option<Self> {
        let mut soak =
            Self { first: clock::now(), time: Duration::from_secs(30), is_planted: false };
        let mut args = args.iter().map(String::as_str);
        while let Some(name) = args.next() {
            match name {
                "--planted" => soak.is_planted = true,
                "--seed" => soak.first = args.next()?.parse().ok()?,
                "--seconds" => soak.time = Duration::from_secs(args.next()?.parse().ok()?),
                _ => return None,
            }
        }
        Some(soak)
    }

    async fn run<T: Target>(&self) -> ExitCode {
        println!("first seed {}", self.first);
        let start = Instant::now();
        if self.is_planted {
            return planted::<T>(self.first).await;
        }
        let (mut sum, mut longest) = (Sum::default(), Duration::ZERO);
        let mut seed = self.first;
        // Another round only where most of it is in time.
        while sum.rounds == 0 || start.elapsed() + longest / 2 <= self.time {
            let round = Instant::now();
            sum.add(&Round::run::<T>(Plan::of(seed, T::TROUBLES, T::SIZE)).await);
            longest = longest.max(round.elapsed());
            seed = seed.wrapping_add(1);
        }
        println!("{sum} in {:.0?}", start.elapsed());
        if sum.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Runs rounds with a planted lost wake-up until it is found.
async fn planted<T: Target>(seed: u64) -> ExitCode {
    let start = Instant::now();
    for seed in seed..seed.saturating_add(3) {
        let round = Round::run::<T>(Plan::planted(seed)).await;
        if round.verdict.findings.iter().any(|finding| finding.broken == Broken::Stall) {
            println!("the planted fault is found after {:.1?}", start.elapsed());
            return ExitCode::SUCCESS;
        }
    }
    eprintln!("the planted fault is not found");
    ExitCode::FAILURE
}

/// A round that was run, and its result.
struct Round {
    plan: Plan,
    requests: Vec<Request>,
    verdict: Verdict,
}

impl Round {
    /// Runs a round, and prints its result.
    async fn run<T: Target>(plan: Plan) -> Self {
        let start = Instant::now();
        let run = supervisor::run::<T>(&plan).await;
        let (history, folder) = run.expect("processes and files can be made");
        let verdict = check(&history);
        let round = Self { plan, requests: history.requests(), verdict };
        println!("seed {}: {}", round.plan.seed, round.plan);
        println!("  {round} in {:.1?}", start.elapsed());
        for finding in round.verdict.findings.iter().take(SHOWN) {
            println!("  {finding}");
        }
        if !round.verdict.findings.is_empty() && !round.plan.is_planted {
            let History { disturbances, wipes, silences, .. } = &history;
            println!("  wiped at {wipes:?}, silent {silences:?}");
            for it in disturbances {
                println!("  {it:?}");
            }
            println!(
                "  {} findings; history in {}",
                round.verdict.findings.len(),
                folder.keep().display()
            );
        }
        round
    }

    /// The waits of the granted requests.
    fn waits(&self) -> Vec<Moment> {
        let wait = |it: &Request| Some(it.granted?.at - it.asked);
        self.requests.iter().filter_map(wait).collect()
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut waits = self.waits();
        waits.sort_unstable();
        let percentile = |percent| waits.get(waits.len() * percent / 100).copied().unwrap_or(0);
        write!(
            f,
            "{} of {} requests granted, {} of them beside another after a failover, wait p50 {:.1} ms and p99 {:.1} ms, a key was free {} \
             times, for at most {:.1} ms",
            waits.len(),
            self.requests.len(),
            self.verdict.excused,
            percentile(50) as f64 / 1e3,
            percentile(99) as f64 / 1e3,
            self.verdict.times_free,
            self.verdict.longest_stall as f64 / 1e3,
        )
    }
}

/// The totals of all rounds.
#[derive(Debug, Default)]
struct Sum {
    rounds: u64,
    requests: usize,
    granted: usize,
    faults: BTreeMap<Fault, usize>,
    /// The number of times that a key was free while somebody waited, without an excuse.
    times_free: usize,
    longest_stall: Moment,
    /// The number of leases beside another that a failover lost.
    excused: usize,
    findings: BTreeMap<Broken, usize>,
}

impl Sum {
    fn add(&mut self, round: &Round) {
        self.rounds += 1;
        self.requests += round.requests.len();
        self.granted += round.requests.iter().filter(|it| it.granted.is_some()).count();
        for blow in &round.plan.blows {
            *self.faults.entry(blow.fault).or_default() += 1;
        }
        self.longest_stall = self.longest_stall.max(round.verdict.longest_stall);
        self.times_free += round.verdict.times_free;
        self.excused += round.verdict.excused;
        for finding in &round.verdict.findings {
            *self.findings.entry(finding.broken).or_default() += 1;
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rounds,
            requests,
            granted,
            faults,
            times_free,
            longest_stall,
            excused,
            findings,
        } = self;
        let faults: Vec<_> =
            faults.iter().map(|(fault, count)| format!("{count} {fault}")).collect();
        let (faults, free) = (faults.join(", "), *longest_stall as f64 / 1e3);
        write!(
            f,
            "{rounds} rounds, {requests} requests, {granted} granted, {excused} beside another after a loss of data; {faults}; "
        )?;
        write!(
            f,
            "a key was free {times_free} times while somebody waited, for at most {free:.1} ms; "
        )?;
        match findings.is_empty() {
            true => f.write_str("nothing is broken;"),
            false => write!(f, "BROKEN: {findings:?};"),
        }
    }
}
