//! `simulate`: whole systems in virtual time, many seeds on all cores.

use anyhow::Result;

use crate::sh::Sh;
use crate::test::Tally;

/// The number of fixed seeds that a full check runs.
const SEEDS: &str = "2000";
const SECONDS: &str = "5";

/// Runs the seeds that `args` tell: `--seed S`, `--seeds N`, `--seconds T`.
pub(crate) fn run(sh: &Sh, args: &[String]) -> Result<()> {
    // With all features of all packages, as the tests are built: so nothing is built twice.
    let program = ["run", "--quiet", "--all-features", "--example", "simulate"];
    Ok(sh.cargo(&program).arg("--").args(args).run()?)
}

/// Runs fixed seeds, which decide, and then seeds that were never run before: one of those that
/// breaks a promise is printed, to be looked into, and decides nothing about this change.
pub(crate) fn check(sh: &Sh) -> Tally {
    let args = |args: &[&str]| args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>();
    if let Err(error) = run(sh, &args(&["--seed", "0", "--seeds", SEEDS])) {
        eprintln!("error: {error:#}");
        return Tally::FAILED_STEP;
    }
    if run(sh, &args(&["--seconds", SECONDS])).is_err() {
        eprintln!("warning: NEW SEEDS BREAK A PROMISE: mend that, and add them to seeds.txt");
    }
    Tally { passed: 1, ..Tally::default() }
}
