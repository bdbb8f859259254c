//! The command: a process group of its own, watched as a shell watches a job.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command};

use lock_core::{Lease, LockGuard, LockSet};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::family::{Family, Mark};
use super::gate::Gate;
use crate::exit::{Exit, Failure};
use crate::output::time;

/// This program, also when its file was replaced meanwhile.
pub(crate) const PROGRAM: &str = "/proc/self/exe";

/// A command that runs.
#[derive(Debug)]
pub(crate) struct Job {
    process: Child,
    pub(crate) family: Family,
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
        set: &LockSet,
        gate: &Gate,
        mark: Mark,
    ) -> Result<Self, Failure> {
        let leases: Vec<&Lease> = set.guards().iter().map(LockGuard::lease).collect();
        // Of several keys, a line for each.
        let lines = |text: &dyn Fn(&Lease) -> String| {
            leases.iter().map(|lease| text(lease)).collect::<Vec<_>>().join("\n")
        };
        let end = |lease: &Lease| lease.expires_at.map_or_else(String::new, time);
        let owner = leases.first().map_or("", |lease| lease.owner.as_str());
        let session = leases.first().map_or_else(String::new, |lease| lease.session.to_string());
        let (name, value) = mark.variable();
        let mut command = Command::new(PROGRAM);
        command
            .args(["__gate", &gate.name(), "--"])
            .args(words)
            .env("LOCK_KEY", lines(&|lease| lease.key.to_string()))
            .env("LOCK_OWNER", owner)
            .env("LOCK_SESSION", session)
            .env("LOCK_TOKEN", lines(&|lease| lease.token.to_string()))
            .env("LOCK_EXPIRES_AT", lines(&end))
            .env(name, value)
            .process_group(0);
        let process = command.spawn();
        let process =
            process.map_err(|error| Failure::new(Exit::NotRunnable, error.to_string()))?;
        let family = Family::new(Pid::from_raw(process.id().cast_signed()), mark);
        Ok(Self { process, family })
    }

    /// What became of the command since the last look, if anything did.
    pub(crate) fn change(&mut self) -> Option<Change> {
        let ended = |exit| Some(Change::Ended(exit));
        match self.process.try_wait() {
            Ok(Some(status)) => match status.code() {
                Some(code) => ended(Exit::Command(code as u8)),
                None => ended(Exit::of_signal(status.signal().unwrap_or_default())),
            },
            // Only stops are asked for, so that no end is missed by the next look.
            Ok(None) => {
                let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG;
                match waitid(Id::Pid(self.family.group), flags) {
                    Ok(WaitStatus::Stopped(_, signal)) => Some(Change::Stopped(signal)),
                    _ => None,
                }
            }
            // Somebody else has waited for it.
            Err(_) => ended(Exit::Command(1)),
        }
    }
}
