//! `soak`: real processes on a real store while faults strike.

use anyhow::{Result, bail};

use crate::redis;
use crate::sh::Sh;
use crate::test::Tally;

/// For how many seconds a check of everything soaks.
const SECONDS: &str = "30";

/// A store that can be soaked: the package whose example `soak` is the program.
const TARGETS: &[(&str, &str)] = &[("redis", "lock-redis")];

/// Soaks a store as `args` tell: `--seconds N`, `--seed S`, `--planted`.
pub(crate) fn run(sh: &Sh, target: &str, args: &[String]) -> Result<()> {
    let Some((_, package)) = TARGETS.iter().find(|(name, _)| *name == target) else {
        let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        bail!("no store {target} to soak; there is: {}", names.join(", "));
    };
    redis::run(sh)?;
    // As the tests are built, so that nothing is built twice.
    let program = ["run", "--quiet", "--package", package, "--all-features", "--example", "soak"];
    Ok(sh.cargo(&program).arg("--").args(args).run()?)
}

/// Soaks every store for a while, after a planted fault was found.
pub(crate) fn check(sh: &Sh) -> Tally {
    let args = |args: &[&str]| args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>();
    for (target, _) in TARGETS {
        for args in [args(&["--planted"]), args(&["--seconds", SECONDS])] {
            if let Err(error) = run(sh, target, &args) {
                eprintln!("error: {error:#}");
                return Tally::FAILED_STEP;
            }
        }
    }
    Tally { passed: 1, ..Tally::default() }
}
