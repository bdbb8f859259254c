//! The program itself, with a store of its own for each test.

use std::ffi::OsStr;
use std::fs::File;
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
        let mut command = self.command(env!("CARGO_BIN_EXE_lockctl"));
        command.args(words.split_whitespace());
        command
    }

    /// A program that finds the same store.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).current_dir(self.folder.path());
        command.env_remove("LOCKCTL_URL").env("XDG_STATE_HOME", self.folder.path());
        if let Some(url) = &self.url {
            command.env("LOCKCTL_URL", url);
        }
        command
    }

    /// The same for a command of a shell.
    pub(crate) fn run(&self, options: &str, script: &str) -> Command {
        let mut command = self.lockctl(&format!("run {options} --"));
        command.args(["sh", "-c", script]);
        command
    }

    /// A shell, whose scripts find the same store.
    pub(crate) fn shell(&self, script: &str) -> Command {
        let mut command = self.command("sh");
        command.args(["-c", script]);
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

    /// Keeps all others from their turn to write until it is dropped, as a stopped process would.
    pub(crate) fn stall(&self) -> File {
        let folder = File::open(self.path("lockctl/locks.db.mail")).unwrap();
        folder.lock().unwrap();
        folder
    }

    /// Nobody holds the key, and nobody waits for it.
    pub(crate) fn is_free(&self, key: &str) -> bool {
        said(self.lockctl("show").arg(key)) == format!("{key} is free\n")
    }
}

/// The time at which something begins.
#[expect(clippy::disallowed_methods, reason = "no runtime runs here, and the time is real")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Lets real time pass, for what happens by time alone.
#[expect(clippy::disallowed_methods, reason = "no runtime runs here, and the time is real")]
pub(crate) fn elapse(span: Duration) {
    sleep(span);
}

/// Looks again and again until something holds: processes have no clock to pause.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        elapse(Duration::from_millis(5));
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

/// The processes that a process has started, with their command lines.
pub(crate) fn children(of: u32) -> Vec<(u32, String)> {
    let path = format!("/proc/{of}/task/{of}/children");
    let children = std::fs::read_to_string(path).unwrap();
    let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
    let line = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
    children.filter_map(|pid: u32| Some((pid, line(pid).ok()?))).collect()
}

/// The guardian of a `lockctl run`.
pub(crate) fn guardian(of: u32) -> Option<u32> {
    children(of).into_iter().find(|it| it.1.contains("__guardian")).map(|it| it.0)
}

/// Whether a process runs or is stopped, and has not only left its status.
pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}
