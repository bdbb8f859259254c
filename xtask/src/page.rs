//! `page`: the web page of the server in a headless Chromium, with the keyboard alone.

mod browser;
mod scenario;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::redis::{in_path, privilege};
use crate::service;
use crate::sh::Sh;
use crate::test::Tally;
use scenario::Scenario;

/// Makes a browser and its driver available on Debian.
const INSTALL: &str =
    "apt-get -q update && apt-get -q install -y --no-install-recommends chromium chromium-driver";

/// A check of everything installs no longer than that.
const SECONDS: &str = "120";

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
    let is_there = || in_path("chromium").is_some() && in_path("chromedriver").is_some();
    if is_there() {
        return Ok(());
    }
    ensure!(sh.works("apt-get", &["--version"]), "no chromium with chromedriver, and no apt-get");
    let Some(become_root) = privilege(sh) else {
        bail!("no chromium with chromedriver: as root, run: {INSTALL}");
    };
    let install =
        ["env", "DEBIAN_FRONTEND=noninteractive", "timeout", SECONDS, "sh", "-c", INSTALL];
    let words: Vec<&str> = become_root.iter().copied().chain(install).collect();
    sh.tool(words[0], &words[1..]).run().with_context(|| format!("as root, run: {INSTALL}"))?;
    ensure!(is_there(), "the packages bring no chromium with chromedriver");
    Ok(())
}
