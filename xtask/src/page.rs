//! `page`: the web page of the server in a headless Chromium, with the keyboard alone.

mod browser;
mod scenario;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::packages::Packages;
use crate::service;
use crate::sh::Sh;
use crate::test::Tally;
use scenario::Scenario;

/// A browser and its driver.
const PACKAGES: Packages = Packages {
    packages: &["chromium", "chromium-driver"],
    programs: &["chromium", "chromedriver"],
    seconds: 120,
};

/// Every wait for the page ends with an error after that long.
const PATIENCE: Duration = Duration::from_secs(15);

/// Maximum number of bytes of a picture that is kept.
const BYTES: usize = 150_000;

/// Looks at the page, and keeps the pictures if asked to.
pub(crate) fn run(sh: &Sh, bless: bool) -> Result<()> {
    if let Err(error) = installed(sh) {
        ensure!(!bless, "no pictures without a browser: {error:#}");
        println!("skipped: page: {error:#}");
        return Ok(());
    }
    look(sh, bless)
}

/// The same as a part of a check of everything.
pub(crate) fn check(sh: &Sh) -> Tally {
    if let Err(error) = installed(sh) {
        println!("skipped: page: {error:#}");
        return Tally::SKIPPED_STEP;
    }
    match look(sh, false) {
        Ok(()) => Tally { passed: 1, ..Tally::default() },
        Err(error) => {
            eprintln!("error: {error:#}");
            Tally::FAILED_STEP
        }
    }
}

fn look(sh: &Sh, bless: bool) -> Result<()> {
    let program = service::build(sh)?;
    let target = sh.metadata()?.target_directory.into_std_path_buf();
    let folder = target.join("page");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let pictures = Scenario::start(&program, &folder)?
        .run()
        .with_context(|| format!("what the browser showed is in {}", folder.display()))?;
    let kept = if bless { sh.root().join("docs/page") } else { folder };
    fs::create_dir_all(&kept)?;
    for (name, bytes) in pictures {
        ensure!(bytes.len() < BYTES, "{name} has {} bytes, at most {BYTES}", bytes.len());
        fs::write(kept.join(format!("{name}.png")), bytes)?;
    }
    println!("pictures are in {}", kept.display());
    Ok(())
}

/// Sees that there is a browser, and installs one where we may.
pub(crate) fn installed(sh: &Sh) -> Result<()> {
    PACKAGES.install(sh)
}
