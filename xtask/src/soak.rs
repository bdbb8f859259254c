//! `soak`: real processes on a real store while faults strike.

use anyhow::{Result, bail};

use crate::redis;
use crate::sh::Sh;
use crate::test::Tally;

/// From which seed on a check of everything soaks: its rounds have nearly every fault.
const SEED: &str = "111";

/// The stores that can be soaked, and for how many seconds a check of everything does so: each has
/// an example, which is the program.
const TARGETS: [(&str, &str); 2] = [(REDIS, "12"), ("sqlite", "8")];
const REDIS: &str = "redis";
/// The same program on several servers of Redis.
const TOPOLOGIES: [&str; 2] = ["cluster", "sentinel"];

/// Soaks a store as `args` tell: `--seconds N`, `--seed S`, `--planted`.
pub(crate) fn run(sh: &Sh, target: &str, args: &[String]) -> Result<()> {
    let is_topology = TOPOLOGIES.contains(&target);
    if !is_topology && !TARGETS.iter().any(|(name, _)| *name == target) {
        let names = TARGETS.map(|(name, _)| name);
        bail!(
            "no store {target} to soak; there is: {}, {}",
            names.join(", "),
            TOPOLOGIES.join(", ")
        );
    }
    let example = if is_topology { REDIS } else { target };
    if example == REDIS {
        redis::run(sh)?;
    }
    // With all features of all packages, as the tests are built: so nothing is built twice.
    let program = ["run", "--quiet", "--all-features", "--example", &format!("soak_{example}")];
    let program = sh.cargo(&program).env("LOCK_SOAK_TOPOLOGY", target);
    Ok(program.arg("--").args(args).run()?)
}

/// Soaks every store for a while, after a planted fault was found.
pub(crate) fn check(sh: &Sh) -> Tally {
    let args = |args: &[&str]| args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>();
    for (target, seconds) in TARGETS {
        for args in [args(&["--planted"]), args(&["--seed", SEED, "--seconds", seconds])] {
            if let Err(error) = run(sh, target, &args) {
                eprintln!("error: {error:#}");
                return Tally::FAILED_STEP;
            }
        }
    }
    Tally { passed: 1, ..Tally::default() }
}
