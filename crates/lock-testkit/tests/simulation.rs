//! The simulation: runs repeat themselves, old seeds hold, and planted faults are found.

use lock_testkit::simulation;

#[test]
fn seed_repeats_its_run() {
    for seed in 0..20 {
        let (first, second) = (simulation::history_of(seed), simulation::history_of(seed));
        assert_eq!(first, second, "seed {seed}");
    }
}
