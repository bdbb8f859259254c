//! `doc`: the documentation, with warnings as errors.

use anyhow::Result;

use crate::sh::Sh;

/// Builds the documentation of every crate.
pub(crate) fn run(sh: &Sh) -> Result<()> {
    let cmd = sh.cargo(&["doc", "--no-deps", "--workspace", "--all-features"]);
    Ok(cmd.env("RUSTDOCFLAGS", "-D warnings").run()?)
}
