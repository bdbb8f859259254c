//! `simulate`: whole systems in virtual time, many seeds on all cores.

use anyhow::Result;

use crate::sh::Sh;
use crate::test::Tally;

/// How many seconds of new seeds a check of everything runs.
const SECONDS: &str = "60";

/// Runs the seeds that `args` tell: `--seed S`, `--seeds N`, `--seconds T`.
pub(crate) fn run(sh: &Sh, args: &[String]) -> Result<()> {
    let program = ["run", "--quiet", "--package", "lock-testkit", "--features", "simulation"];
    let cmd = sh.cargo(&program).args(["--example", "simulate", "--"]).args(args);
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
