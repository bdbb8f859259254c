//! `deny`: licences, bans and sources of the dependencies.

use anyhow::Result;

use crate::sh::Sh;

/// Runs cargo-deny, where it is installed.
pub(crate) fn run(sh: &Sh) -> Result<()> {
    if !sh.works("cargo", &["deny", "--version"]) {
        println!("cargo-deny: not installed: skipped");
        return Ok(());
    }
    Ok(sh.cargo(&["deny"]).args(["check", "bans", "licenses", "sources"]).run()?)
}
