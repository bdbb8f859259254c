//! The file of the audit log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use lock_core::{Clock, Lease, TokioClock};
use serde::Serialize;

use super::{Act, Client};
use crate::AccessClient;

/// A file with a line of JSON for each forced act. Clones share it.
///
/// A line is written in one piece at the end of the file, so several servers may share it. It is not
/// synced to the disk.
#[derive(Clone, Debug)]
pub struct AuditLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: Mutex<File>,
    clock: TokioClock,
}

/// A line, with its time.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    #[serde(flatten)]
    act: &'a Act,
}

impl AuditLog {
    /// Opens the file, or creates it for this user alone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let file = Mutex::new(open(&path)?);
        Ok(Self(Arc::new(Inner { path, file, clock: TokioClock::new() })))
    }

    /// Opens the file again by its name, after it was renamed.
    ///
    /// # Errors
    /// When it cannot be written. Lines then go on to the former file.
    pub fn reopen(&self) -> io::Result<()> {
        let file = open(&self.0.path)?;
        *self.0.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    /// Records that a client of a server of another protocol ended a lease that may be of another, or
    /// tried to: its `outcome` is `done`, `unknown` or `did_not_happen`.
    pub fn lease_ended(
        &self,
        client: &AccessClient,
        peer: SocketAddr,
        act: &'static str,
        lease: &Lease,
        outcome: &'static str,
    ) {
        let mut act = Act::new(Client::of(client, peer), act, lease.key.clone());
        act.lease(lease);
        self.write(&act.outcome(outcome));
    }

    /// Writes a line. A failure is logged: the act has happened.
    pub(crate) fn write(&self, act: &Act) {
        let now = UNIX_EPOCH + Duration::from_micros(self.0.clock.now().as_micros());
        let at = humantime::format_rfc3339_micros(now).to_string();
        let line = serde_json::to_vec(&Line { at, act }).map_err(io::Error::other);
        let written = line.and_then(|mut line| {
            line.push(b'\n');
            self.0.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
        });
        if let Err(error) = written {
            tracing::error!(%error, ?act, "the audit log could not be written");
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}
