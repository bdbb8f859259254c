//! Runs seeds of the simulation on all cores, and prints the history of those that fail.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints what it found")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lock_testkit::simulation::{self, Outcome, Planted};

const USAGE: &str = "\
usage: simulate [--seed S] [--seeds N | --seconds T]
       simulate --history S
       simulate --planted N [NAME]

  --seed S      the first seed; without, one that the time makes
  --seeds N     so many seeds: 1,000
  --seconds T   as many seeds as that takes
  --history S   print the history of one seed, whatever comes of it
  --planted N   print the first of N seeds that finds each of the planted faults, or those
                with NAME in their name
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["--history", seed] = args[..]
        && let Ok(seed) = seed.parse()
    {
        print!("{}", simulation::history_of(seed));
        return ExitCode::SUCCESS;
    }
    if let ["--planted", seeds, ref named @ ..] = args[..]
        && let Ok(seeds) = seeds.parse()
        && named.len() <= 1
    {
        show_planted(seeds, named.first().copied().unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    match Search::parse(&args) {
        Some(search) => search.run(),
        None => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The seeds to run.
struct Search {
    first: u64,
    seeds: u64,
    time: Option<Duration>,
}

/// The findings of all threads.
#[derive(Default)]
struct Found {
    runs: u64,
    commands: u64,
    lasted: Duration,
    digest: u64,
    failed: BTreeMap<&'static str, Vec<u64>>,
}

impl Search {
    fn parse(args: &[&str]) -> Option<Self> {
        let mut search = Self { first: seed_of_the_time(), seeds: 1_000, time: None };
        for pair in args.chunks(2) {
            let &[name, number] = pair else { return None };
            let number: u64 = number.parse().ok()?;
            match name {
                "--seed" => search.first = number,
                "--seeds" => search.seeds = number,
                "--seconds" => {
                    search.seeds = u64::MAX;
                    search.time = Some(Duration::from_secs(number));
                }
                _ => return None,
            }
        }
        Some(search)
    }

    fn run(&self) -> ExitCode {
        println!("first seed {}", self.first);
        let started = now();
        let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let found = Mutex::new(Found::default());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.seeds
                            || self.time.is_some_and(|it| started.elapsed() >= it)
                        {
                            return;
                        }
                        let seed = self.first.wrapping_add(number);
                        let outcome = simulation::check(seed);
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        found.note(seed, outcome);
                        // A violated contract is violated repeatedly.
                        is_over
                            .store(found.failed.values().any(|it| it.len() > 4), Ordering::Relaxed);
                    }
                });
            }
        });
        found.into_inner().unwrap_or_else(PoisonError::into_inner).conclude(started.elapsed())
    }
}

impl Found {
    fn note(&mut self, seed: u64, outcome: Result<Outcome, simulation::Failure>) {
        self.runs += 1;
        match outcome {
            Ok(outcome) => {
                self.commands += outcome.commands;
                self.lasted += outcome.lasted;
                // The order in which threads end is irrelevant.
                self.digest ^= outcome.digest;
            }
            Err(failure) => {
                let seeds = self.failed.entry(failure.sentence()).or_default();
                if seeds.is_empty() {
                    println!("{failure}");
                }
                seeds.push(seed);
            }
        }
    }

    fn conclude(self, took: Duration) -> ExitCode {
        let hours = self.lasted.as_secs_f64() / 3600.0;
        let rate = hours / (took.as_secs_f64() / 60.0);
        let Self { runs, commands, digest, failed, .. } = self;
        println!(
            "{runs} seeds, {commands} commands, {hours:.1} simulated hours, {rate:.1} in a minute, \
             digest {digest:016x}"
        );
        for (sentence, seeds) in &failed {
            println!("broken by seeds {seeds:?}: {sentence}");
        }
        if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Prints the first seeds that find each planted fault, and the sentences they violate.
fn show_planted(seeds: u64, named: &str) {
    let next = AtomicUsize::new(0);
    let planted: Vec<_> =
        simulation::planted().iter().filter(|plant| plant.name.contains(named)).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(plant) = planted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let finds = |seed| Some((seed, finds(seed, plant.switch)?));
                    let found: Vec<_> = (0..seeds).filter_map(finds).take(1).collect();
                    println!("{}: {found:?}", plant.name);
                }
            });
        }
    });
}

/// The sentence that a seed violates only with the fault.
fn finds(seed: u64, planted: Planted) -> Option<&'static str> {
    let sentence = simulation::broken_by(seed, Some(planted))?;
    simulation::broken_by(seed, None).is_none().then_some(sentence)
}

fn seed_of_the_time() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a seed that differs every time, and is printed")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs() << 20
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a stopwatch for people, no test waits on it")]
    Instant::now()
}
