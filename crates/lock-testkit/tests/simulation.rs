//! The simulation: runs repeat themselves, seeds that once failed hold, and planted faults are
//! found.

use lock_testkit::simulation;

/// Seeds that once found a fault, one a line, and what they found.
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
    for plant in simulation::planted() {
        let (first, count) = plant.seeds;
        let mut seeds = first..first + count;
        let is_found = seeds.any(|seed| simulation::broken_by(seed, plant.switch).is_some());
        assert!(is_found, "{}", plant.name);
    }
}
