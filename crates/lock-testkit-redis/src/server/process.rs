//! The server's process, which ends with its owner, however that ends.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Names the server to test with.
const VARIABLE: &str = "LOCK_REDIS_SERVER";
/// Tried in this order where the variable is not set.
const NAMES: [&str; 2] = ["redis-server", "valkey-server"];

/// Becomes the server, after leaving behind a watcher that reads a line from us. If the pipe ends
/// before the line, we were killed: then the watcher ends the server and removes its folder. Unlike
/// with the parent-death signal of Linux, no thread of ours has to live on.
const LAUNCH: &str = "\
exec 3<&0
(read -r _ <&3 || { kill -KILL $$; rm -rf \"$0\"; }) &
exec \"$@\" </dev/null >>\"$0/log\" 2>&1 3<&-";

/// A running server; dropping it kills and reaps it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts the server with this configuration; what it says goes to the file `log`.
    pub(super) fn start(folder: &Path, config: &Path, is_sentinel: bool) -> io::Result<Self> {
        let mut launch = Command::new("sh");
        launch.args(["-c", LAUNCH]).arg(folder).arg(binary()?).arg(config);
        launch.args(is_sentinel.then_some("--sentinel"));
        launch.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Ok(Self { child: launch.spawn()? })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// The letter by which the system calls the process's state.
    pub(super) fn state(&self) -> io::Result<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // The name before it is in parentheses, and may hold some itself.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        state.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// Version reported by the server.
pub(super) fn version() -> io::Result<String> {
    let said = Command::new(binary()?).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // The watcher must end before the server's process id can be reused.
        if let Some(mut watch) = self.child.stdin.take() {
            let _ = watch.write_all(b"\n");
        }
        if let Some(mut watch) = self.child.stdout.take() {
            let _ = watch.read_to_end(&mut Vec::new());
        }
        let _ = self.child.wait();
    }
}

/// Finds the server to test with.
fn binary() -> io::Result<PathBuf> {
    let chosen = std::env::var_os(VARIABLE).filter(|name| !name.is_empty());
    let path = std::env::var_os("PATH").unwrap_or_default();
    chosen.map(PathBuf::from).or_else(|| in_path(&path)).ok_or_else(|| {
        let message = format!(
            "no redis-server to test with: apt-get install redis-server redis-tools, or set \
             {VARIABLE} to the server of Redis or Valkey"
        );
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}

fn in_path(path: &OsString) -> Option<PathBuf> {
    let folders = || std::env::split_paths(path);
    NAMES
        .iter()
        .flat_map(|name| folders().map(move |folder| folder.join(name)))
        .find(|file| file.is_file())
}
