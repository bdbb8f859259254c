//! The simulation: runs repeat themselves, seeds that once failed hold, and planted faults are
//! found.

use std::sync::Arc;
use std::time::Duration;

use lock_memory::MemoryBackend;
use lock_testkit::simulation::{self, Lines};
use tokio::runtime::Builder;

/// Seeds that once found a fault, one per line, with the fault.
const OLD_SEEDS: &str = include_str!("../seeds.txt");

#[test]
fn seed_repeats_its_run() {
    for seed in 0..10 {
        let (first, second) = (simulation::history_of(seed), simulation::history_of(seed));
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn seeds_that_once_failed_hold() {
    let lines = OLD_SEEDS.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let seed = line.split_whitespace().next().expect("a seed");
        let seed = seed.parse().expect("a number");
        if let Err(failure) = simulation::check(seed) {
            panic!("{failure}");
        }
    }
}

#[test]
fn planted_faults_are_found() {
    let mut missed = Vec::new();
    for plant in simulation::planted() {
        let (first, count) = plant.seeds;
        let mut seeds = first..first + count;
        // A seed that fails without the fault proves nothing.
        let is_found = seeds.any(|seed| {
            simulation::broken_by(seed, Some(plant.switch)) == Some(plant.breaks)
                && simulation::broken_by(seed, None).is_none()
        });
        missed.extend((!is_found).then_some(plant.name));
    }
    assert!(missed.is_empty(), "{missed:?}");
}

/// Runs the program of a seed in virtual time.
fn in_memory(seed: u64, is_shared: bool) -> Result<simulation::Outcome, simulation::Failure> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let store = MemoryBackend::new();
    let of = |_| if is_shared { store.clone() } else { MemoryBackend::new() };
    let site = Arc::new(Lines::new(of, Duration::ZERO));
    runtime.expect("a runtime").block_on(simulation::check_on(site, seed))
}

#[test]
fn programs_fit_together_on_the_store_in_memory() {
    for seed in 0..60 {
        if let Err(failure) = in_memory(seed, true) {
            panic!("{failure}");
        }
    }
}

#[test]
fn programs_do_not_fit_together_on_stores_that_grant_apart() {
    let broken = (0..20).filter_map(|seed| in_memory(seed, false).err());
    let sentences: Vec<_> = broken.map(|failure| failure.sentence()).collect();
    let expected = "No two holders believe at once in leases that exclude each other.";
    assert!(sentences.contains(&expected), "{sentences:?}");
}
