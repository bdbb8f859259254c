//! `fmt`: the format of the sources.

use anyhow::Result;

use crate::sh::Sh;

/// Checks the format of every source, or applies it.
pub(crate) fn run(sh: &Sh, fix: bool) -> Result<()> {
    let cmd = sh.tool("cargo", &["fmt", "--all"]);
    Ok(if fix { cmd } else { cmd.arg("--check") }.run()?)
}
