//! `doc`: the documentation, with warnings as errors.

use anyhow::Result;
use cargo_metadata::Metadata;
use xshell::Cmd;

use crate::sh::Sh;

/// Builds the documentation of every crate.
pub(crate) fn run(sh: &Sh) -> Result<()> {
    let cmd = documenting(sh, &sh.metadata()?).args(["--workspace", "--all-features"]);
    Ok(cmd.env("RUSTDOCFLAGS", "-D warnings").run()?)
}

/// Starts the command that writes documentation, for people or for the snapshots of the API. The
/// latter need an unstable format, so both are allowed those: the dependencies are built once.
pub(crate) fn documenting<'a>(sh: &'a Sh, metadata: &Metadata) -> Cmd<'a> {
    sh.cargo(&["doc", "--no-deps"])
        .env("CARGO_TARGET_DIR", metadata.target_directory.join("doc"))
        .env("RUSTC_BOOTSTRAP", "1")
}
