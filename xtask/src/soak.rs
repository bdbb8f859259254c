//! `soak`: real processes on a real store while faults strike.

use anyhow::{Result, bail};

use crate::redis;
use crate::sh::Sh;
use crate::test::Tally;

/// For how many seconds a check of everything soaks, and from which seed on: its rounds have nearly
/// every fault.
const SECONDS: &str = "30";
const SEED: &str = "111";

/// The stores that can be soaked: each has an example, which is the program.
const TARGETS: [&str; 1] = ["redis"];

/// Soaks a store as `args` tell: `--seconds N`, `--seed S`, `--planted`.
pub(crate) fn run(sh: &Sh, target: &str, args: &[String]) -> Result<()> {
    if !TARGETS.contains(&target) {
        bail!("no store {target} to soak; there is: {}", TARGETS.join(", "));
    }
    redis::run(sh)?;
    // With all features of all packages, as the tests are built: so nothing is built twice.
    let program = ["run", "--quiet", "--all-features", "--example", &format!("soak_{target}")];
    Ok(sh.cargo(&program).arg("--").args(args).run()?)
}

/// Soaks every store for a while, after a planted fault was found.
pub(crate) fn check(sh: &Sh) -> Tally {
    let args = |args: &[&str]| args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>();
    for target in TARGETS {
        for args in [args(&["--planted"]), args(&["--seed", SEED, "--seconds", SECONDS])] {
            if let Err(error) = run(sh, target, &args) {
                eprintln!("error: {error:#}");
                return Tally::FAILED_STEP;
            }
        }
    }
    Tally { passed: 1, ..Tally::default() }
}
