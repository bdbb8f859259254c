//! Programs of Debian's packages, found or made available.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::sh::Sh;

/// Packages with programs.
#[derive(Debug)]
pub(crate) struct Packages {
    pub(crate) packages: &'static [&'static str],
    /// The programs that are looked for.
    pub(crate) programs: &'static [&'static str],
    /// Maximum number of seconds of an installation.
    pub(crate) seconds: u32,
}

/// `strace` says what is written and synced, `bindfs` mounts a folder by FUSE: for the tests of files.
pub(crate) const OF_FILES: Packages =
    Packages { packages: &["strace", "bindfs"], programs: &["strace", "bindfs"], seconds: 60 };

impl Packages {
    fn are_there(&self) -> bool {
        self.programs.iter().all(|program| in_path(program).is_some())
    }

    /// Sees that the programs are there, and installs them where we may.
    pub(crate) fn install(&self, sh: &Sh) -> Result<()> {
        if self.are_there() {
            return Ok(());
        }
        let missing = self.programs.join(" and ");
        let names = self.packages.join(" ");
        let install =
            format!("apt-get -q update && apt-get -q install -y --no-install-recommends {names}");
        ensure!(sh.works("apt-get", &["--version"]), "no {missing}, and no apt-get");
        let Some(become_root) = privilege(sh) else {
            bail!("no {missing}: as root, run: {install}");
        };
        let seconds = self.seconds.to_string();
        let command =
            ["env", "DEBIAN_FRONTEND=noninteractive", "timeout", &seconds, "sh", "-c", &install];
        let words: Vec<&str> = become_root.iter().copied().chain(command).collect();
        let installed = sh.tool(words[0], &words[1..]).run();
        installed.with_context(|| format!("as root, run: {install}"))?;
        ensure!(self.are_there(), "the packages bring no {missing}");
        Ok(())
    }
}

/// Finds a program.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Returns what a command of root's begins with; `None` if we cannot be root.
fn privilege(sh: &Sh) -> Option<&'static [&'static str]> {
    let id = sh.tool("id", &["-u"]).quiet().read();
    if id.is_ok_and(|id| id == "0") {
        return Some(&[]);
    }
    sh.works("sudo", &["-n", "true"]).then_some(&["sudo", "-n"])
}
