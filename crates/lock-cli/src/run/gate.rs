//! The gate: a command starts when its guardian knows of it, and never if `lockctl run` is gone by then.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::close;

use crate::exit::{Exit, Failure};

/// A gate, which a command that is started inherits.
pub(crate) struct Gate {
    inside: PipeReader,
    outside: PipeWriter,
}

impl Gate {
    pub(crate) fn new() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::new(Exit::Unavailable, error.to_string());
        let (inside, outside) = pipe().map_err(failed)?;
        fcntl(&inside, FcntlArg::F_SETFD(FdFlag::empty())).map_err(|error| failed(error.into()))?;
        Ok(Self { inside, outside })
    }

    /// The word by which the command finds it.
    pub(crate) fn name(&self) -> String {
        self.inside.as_raw_fd().to_string()
    }

    /// Lets the command start.
    pub(crate) fn open(mut self) {
        // If the command is gone, its status says so.
        let _ = self.outside.write_all(b"go");
    }
}

/// Waits before the gate, and becomes the command.
pub(crate) fn start(gate: i32, command: &[OsString]) -> Result<Exit, Failure> {
    let mut word = String::new();
    let opened = File::open(format!("/proc/self/fd/{gate}"));
    // This end must not keep the pipe open for itself, and the command has no use for it.
    let _ = close(gate);
    if opened.is_ok_and(|mut opened| opened.read_to_string(&mut word).is_err()) || word != "go" {
        return Ok(Exit::Lost);
    }
    let Some((program, arguments)) = command.split_first() else { return Ok(Exit::NotFound) };
    let error = Command::new(program).args(arguments).exec();
    let exit = if error.kind() == ErrorKind::NotFound { Exit::NotFound } else { Exit::NotRunnable };
    Err(Failure::new(exit, format!("`{}`: {error}", program.to_string_lossy())))
}
