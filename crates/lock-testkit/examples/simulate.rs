//! Runs many seeds of the simulation on all cores: `simulate [--seed S] [--seeds N] [--seconds T]`.
#![expect(clippy::print_stdout, reason = "a command prints what it found")]

use lock_testkit::simulation;

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).map(|arg| arg.parse().unwrap()).collect();
    if args.len() == 1 {
        println!("{}", simulation::history_of(args[0]));
        return;
    }
    if args.len() == 3 {
        for plant in simulation::planted() {
            let mut found = std::collections::BTreeMap::<&str, Vec<u64>>::new();
            for seed in args[0]..args[0] + args[1] {
                if let Some(sentence) = simulation::broken_by(seed, plant.switch) {
                    found.entry(sentence).or_default().push(seed);
                }
            }
            println!("{:?}: {found:?}", plant.switch);
        }
        return;
    }
    let mut bad = std::collections::BTreeMap::<&str, Vec<u64>>::new();
    for seed in args[0]..args[0] + args[1] {
        match simulation::check(seed) {
            Ok(_) => {}
            Err(failure) => {
                if bad.entry(failure.sentence()).or_default().is_empty() {
                    println!("{failure}");
                }
                bad.get_mut(failure.sentence()).unwrap().push(seed);
            }
        }
    }
    println!("{bad:?}");
}
