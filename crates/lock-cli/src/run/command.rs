//! The command: a process group of its own, watched as a shell watches a job.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use lock_core::LockGuard;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::gate::Gate;
use crate::exit::{Exit, Failure};
use crate::output::time;

/// This program, also when its file was replaced meanwhile.
pub(crate) const PROGRAM: &str = "/proc/self/exe";

/// A command that runs.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) group: Pid,
}

/// A change of the command's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Ended(Exit),
    Stopped(Signal),
}

impl Job {
    /// Starts a command under a lease, which waits before the gate.
    pub(crate) fn start(
        words: &[OsString],
        guard: &LockGuard,
        gate: &Gate,
    ) -> Result<Self, Failure> {
        let lease = guard.lease();
        let mut command = Command::new(PROGRAM);
        command
            .args(["__gate", &gate.name(), "--"])
            .args(words)
            .env("LOCK_KEY", lease.key.as_str())
            .env("LOCK_OWNER", lease.owner.as_str())
            .env("LOCK_TOKEN", lease.token.to_string())
            .env("LOCK_EXPIRES_AT", lease.expires_at.map_or_else(String::new, time))
            .process_group(0);
        let child = command.spawn();
        let child = child.map_err(|error| Failure::new(Exit::NotRunnable, error.to_string()))?;
        Ok(Self { group: Pid::from_raw(child.id().cast_signed()) })
    }

    /// The change of the command's status since the last call, if any.
    pub(crate) fn change(&self) -> Option<Change> {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
        match waitpid(self.group, Some(flags)) {
            Ok(WaitStatus::Exited(_, code)) => Some(Change::Ended(Exit::Command(code as u8))),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                Some(Change::Ended(Exit::of_signal(signal as i32)))
            }
            Ok(WaitStatus::Stopped(_, signal)) => Some(Change::Stopped(signal)),
            Ok(_) => None,
            // Somebody else has waited for it.
            Err(_) => Some(Change::Ended(Exit::Command(1))),
        }
    }
}
