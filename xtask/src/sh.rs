//! Running other programs, and saying how long it took.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use xshell::{Cmd, Shell};

/// The permission to change `Cargo.lock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    Locked,
    Free,
}

/// A shell in the workspace's root.
#[derive(Debug)]
pub(crate) struct Sh {
    shell: Shell,
    lock: Lock,
}

/// The output of a program, which was printed as well, and its success.
#[derive(Debug)]
pub(crate) struct Transcript {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) success: bool,
}

impl Sh {
    /// Opens a shell in the workspace's root.
    pub(crate) fn new(lock: Lock) -> Result<Self> {
        // Cargo sets the variable when it runs a program; the other is for a run by hand.
        let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir.parent().context("xtask stands in the workspace's root")?;
        let shell = Shell::new()?;
        shell.change_dir(root);
        if lock == Lock::Locked {
            // Test tools that would otherwise leave files beside the sources.
            shell.set_var("INSTA_UPDATE", "no");
            shell.set_var("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
        }
        Ok(Self { shell, lock })
    }

    /// Returns the workspace's root.
    pub(crate) fn root(&self) -> PathBuf {
        self.shell.current_dir()
    }

    /// Starts a cargo command that reads `Cargo.lock`.
    pub(crate) fn cargo<'a>(&'a self, words: &[&str]) -> Cmd<'a> {
        let cmd = self.tool("cargo", words);
        match self.lock {
            Lock::Locked => cmd.arg("--locked"),
            Lock::Free => cmd,
        }
    }

    /// Starts any other command.
    pub(crate) fn tool<'a>(&'a self, program: &str, words: &[&str]) -> Cmd<'a> {
        self.shell.cmd(program).args(words)
    }

    /// Returns whether a command runs and succeeds; shows nothing.
    pub(crate) fn works(&self, program: &str, words: &[&str]) -> bool {
        self.tool(program, words).quiet().ignore_stdout().ignore_stderr().run().is_ok()
    }

    /// Reads the workspace's manifests.
    pub(crate) fn metadata(&self) -> Result<Metadata> {
        let mut command = MetadataCommand::new();
        command.current_dir(self.root()).no_deps();
        if self.lock == Lock::Locked {
            command.other_options(["--locked".to_owned()]);
        }
        command.exec().context("cargo metadata")
    }
}

/// Returns the packages under `crates/`.
pub(crate) fn crates(metadata: &Metadata) -> impl Iterator<Item = &Package> {
    let crates = metadata.workspace_root.join("crates");
    let packages = metadata.workspace_packages().into_iter();
    packages.filter(move |package| package.manifest_path.starts_with(&crates))
}

/// Returns the packages under `crates/` that are libraries.
pub(crate) fn libraries(metadata: &Metadata) -> impl Iterator<Item = &Package> {
    crates(metadata).filter(|package| is_library(package))
}

pub(crate) fn is_library(package: &Package) -> bool {
    package.targets.iter().any(cargo_metadata::Target::is_lib)
}

/// Runs one step under its name, and prints how long it took.
pub(crate) fn section<T>(name: &str, step: impl FnOnce() -> T) -> T {
    #[expect(clippy::disallowed_methods, reason = "a stopwatch for people, no test waits on it")]
    let start = Instant::now();
    println!("== {name}");
    let outcome = step();
    println!("== {name}: {:.1} s", start.elapsed().as_secs_f64());
    outcome
}

/// Runs a command, showing its output as it comes, and keeps what it said.
pub(crate) fn watched(cmd: Cmd<'_>) -> Result<Transcript> {
    eprintln!("$ {cmd}");
    let mut child = Command::from(cmd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("the command does not start")?;
    let stdout = child.stdout.take().context("stdout was piped")?;
    let stderr = child.stderr.take().context("stderr was piped")?;
    let (stdout, stderr) = thread::scope(|scope| {
        let stdout = scope.spawn(|| tee(stdout, io::stdout()));
        let stderr = tee(stderr, io::stderr());
        (stdout.join(), stderr)
    });
    let stdout = stdout.map_err(|_panic| anyhow::anyhow!("the reader of stdout panicked"))??;
    let success = child.wait()?.success();
    Ok(Transcript { stdout, stderr: stderr?, success })
}

/// Copies `from` to `to` line by line, and returns a copy.
fn tee(from: impl Read, mut to: impl Write) -> io::Result<String> {
    let mut from = BufReader::new(from);
    let mut all = Vec::new();
    loop {
        let start = all.len();
        if from.read_until(b'\n', &mut all)? == 0 {
            return Ok(String::from_utf8_lossy(&all).into_owned());
        }
        to.write_all(&all[start..])?;
        to.flush()?;
    }
}

/// Lists the files below `dir`, in order; nothing when it does not exist.
pub(crate) fn files_below(dir: &Path, skip: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        if !dir.is_dir() {
            continue;
        }
        for entry in dir.read_dir().with_context(|| dir.display().to_string())? {
            let entry = entry?;
            let skipped = skip.iter().any(|name| entry.file_name() == *OsStr::new(name));
            if skipped {
                continue;
            } else if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_shown_and_kept() {
        let mut shown = Vec::new();
        let kept = tee(&b"one\ntwo"[..], &mut shown).unwrap();
        assert_eq!(kept, "one\ntwo");
        assert_eq!(shown, b"one\ntwo");
    }
}
