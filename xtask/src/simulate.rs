//! `simulate`: whole systems in virtual time, many seeds on all cores.

use anyhow::Result;

use crate::sh::Sh;
use crate::test::Tally;

/// How many seconds of new seeds a check of everything runs.
const SECONDS: &str = "60";

/// Runs the seeds that `args` tell: `--seed S`, `--seeds N`, `--seconds T`.
pub(crate) fn run(sh: &Sh, args: &[String]) -> Result<()> {
    // Optimised a little, it runs twenty times as many seeds, and builds in half a minute more.
    let program = ["run", "--quiet", "--profile", "simulation", "--package", "lock-testkit"];
    let example = ["--features", "simulation", "--example", "simulate", "--"];
    let cmd = sh.cargo(&program).args(example).args(args);
    Ok(cmd.run()?)
}

/// Runs seeds that were never run before; those that once failed are among the tests.
pub(crate) fn new_seeds(sh: &Sh) -> Tally {
    match run(sh, &["--seconds".to_owned(), SECONDS.to_owned()]) {
        Ok(()) => Tally { passed: 1, ..Tally::default() },
        Err(error) => {
            eprintln!("error: {error:#}");
            Tally::FAILED_STEP
        }
    }
}
