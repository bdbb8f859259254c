//! `ci`: every check in order, up to the first that fails.

use std::process::ExitCode;
use std::thread;

use anyhow::{Result, ensure};

use crate::packages::OF_FILES;
use crate::sh::{Lock, Sh, section};
use crate::test::Tally;
use crate::{
    api, deny, door, features, fmt, instructions, lint, package, page, redis, simulate, soak,
    terraform, test, tidy,
};

/// Runs every check, and ends with the sum of the tests.
pub(crate) fn run(sh: &Sh) -> ExitCode {
    let mut tally = Tally::default();
    let outcome = section("ci", || steps(sh, &mut tally));
    if let Err(error) = outcome {
        eprintln!("error: {error:#}");
        // The tests have counted their own failures.
        if tally.failed == 0 {
            tally = tally + Tally::FAILED_STEP;
        }
    }
    tally.conclude()
}

fn steps(sh: &Sh, tally: &mut Tally) -> Result<()> {
    let installing = thread::spawn(install);
    section("fmt", || fmt::run(sh, false))?;
    section("clippy", || lint::run(sh))?;
    section("tidy", || tidy::run(sh))?;
    section("build", || build(sh))?;
    section("installed", || {
        // What could not be installed, the steps that need it report.
        let _ = installing.join();
    });
    section("redis", || redis::run(sh))?;
    section("test", || counted(tally, test::tests(sh)))?;
    section("valkey", || counted(tally, test::valkey(sh)))?;
    section("doctests", || counted(tally, test::doctests(sh)))?;
    section("simulate", || counted(tally, simulate::check(sh)))?;
    section("soak", || counted(tally, soak::check(sh)))?;
    section("terraform", || counted(tally, terraform::check(sh)))?;
    section("door", || counted(tally, door::check(sh)))?;
    section("page", || counted(tally, page::check(sh)))?;
    section("instructions", || counted(tally, instructions::run(sh, false)?))?;
    section("features", || features::check(sh))?;
    section("package", || package::check(sh))?;
    section("api and docs", || api::run(sh, false))?;
    section("deny", || deny::run(sh))
}

/// Installs what later steps need, while the first ones compile.
fn install() {
    let Ok(sh) = Sh::new(Lock::Locked) else { return };
    // One after another: the package manager serves one at a time.
    for install in [redis::run, |sh: &Sh| OF_FILES.install(sh), page::installed] {
        if let Err(error) = install(&sh) {
            println!("not installed: {error:#}");
        }
    }
}

/// Builds what the tests run. Benchmarks are compiled by clippy alone.
fn build(sh: &Sh) -> Result<()> {
    Ok(sh
        .cargo(&[
            "build",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--examples",
            "--all-features",
        ])
        .run()?)
}

fn counted(tally: &mut Tally, new: Tally) -> Result<()> {
    *tally = *tally + new;
    ensure!(new.failed == 0, "{} failed", new.failed);
    Ok(())
}
