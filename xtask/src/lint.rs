//! `lint`: clippy, with warnings as errors.

use anyhow::Result;

use crate::sh::Sh;

/// Runs clippy on every target with every feature.
pub(crate) fn run(sh: &Sh) -> Result<()> {
    let cmd = sh.cargo(&["clippy", "--workspace", "--all-targets", "--all-features"]);
    Ok(cmd.args(["--", "-D", "warnings"]).run()?)
}
