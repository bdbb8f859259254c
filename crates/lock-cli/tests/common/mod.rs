//! The program itself, with a store of its own for each test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store, and a folder for what commands write.
pub(crate) struct Scene {
    folder: TempDir,
    url: Option<String>,
}

impl Scene {
    /// The default store of a user who has none yet.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), url: None }
    }

    /// Another store.
    pub(crate) fn at(url: String) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), url: Some(url) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `lockctl` with these words, each a word of the text.
    pub(crate) fn lockctl(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockctl"));
        command.args(words.split_whitespace()).stdin(Stdio::null());
        command.env_remove("LOCKCTL_URL").env("XDG_STATE_HOME", self.folder.path());
        if let Some(url) = &self.url {
            command.env("LOCKCTL_URL", url);
        }
        command.current_dir(self.folder.path());
        command
    }

    /// The same for a command of a shell.
    pub(crate) fn run(&self, options: &str, script: &str) -> Command {
        let mut command = self.lockctl(&format!("run {options} --"));
        command.args(["sh", "-c", script]);
        command
    }

    /// Waits until a file is there, and returns what it holds.
    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.path(name);
        eventually(name, || std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n')));
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    /// Waits until a key has a holder or a waiter.
    pub(crate) fn shows(&self, key: &str, text: &str) {
        eventually(text, || said(self.lockctl("show").arg(key)).contains(text));
    }

    /// The key has no holder and no waiter.
    pub(crate) fn is_free(&self, key: &str) -> bool {
        said(self.lockctl("show").arg(key)) == format!("{key} is free\n")
    }
}

/// Looks again and again until something holds: processes have no clock to pause.
#[expect(clippy::disallowed_methods, reason = "no runtime runs here, and the time is real")]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// The standard output of a command.
pub(crate) fn said(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// The exit code and the standard error of a command.
pub(crate) fn failed(command: &mut Command) -> (i32, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

pub(crate) fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

/// Returns `true` if a process runs or is stopped, and is not a zombie.
pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}
