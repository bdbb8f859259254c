//! The programs by which the tests of files see what reaches a disk, found or made available.

use anyhow::{Context, Result, bail};

use crate::redis::{in_path, privilege};
use crate::sh::Sh;

/// `strace` says what is written and synced, `bindfs` mounts a folder by FUSE.
const PROGRAMS: [&str; 2] = ["strace", "bindfs"];
/// Makes them available on Debian.
const INSTALL: &str =
    "apt-get -q update && apt-get -q install -y --no-install-recommends strace bindfs";
/// A check of everything installs no longer than that.
const SECONDS: &str = "60";

/// Sees that the programs are there, and installs them where we may. Tests without them are skipped.
pub(crate) fn installed(sh: &Sh) -> Result<()> {
    if PROGRAMS.iter().all(|program| in_path(program).is_some()) {
        return Ok(());
    }
    if !sh.works("apt-get", &["--version"]) {
        bail!("no strace and bindfs, and no apt-get");
    }
    let Some(become_root) = privilege(sh) else {
        bail!("no strace and bindfs: as root, run: {INSTALL}");
    };
    let install =
        ["env", "DEBIAN_FRONTEND=noninteractive", "timeout", SECONDS, "sh", "-c", INSTALL];
    let words: Vec<&str> = become_root.iter().copied().chain(install).collect();
    sh.tool(words[0], &words[1..]).run().with_context(|| format!("as root, run: {INSTALL}"))?;
    Ok(())
}
