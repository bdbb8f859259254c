//! The folder beside the file: whose turn it is to write, and the sockets of mailboxes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use lock_core::MailboxId;
use rustix::fs::OFlags;

/// Suffix of a file that signals lost notices.
const MISSED: &str = ".missed";
/// Pause between attempts to get the turn.
const PAUSE: Duration = Duration::from_millis(3);
/// The longest path of a socket that every system takes.
const SOCKET_PATH: usize = 100;

/// The folder beside the file.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    opened: File,
}

/// The turn to write, until it is dropped. The system ends it with the process.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a File);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Only an open file that is none can fail, and then there is no turn.
        let _ = self.0.unlock();
    }
}

impl Folder {
    /// The folder of a file.
    pub(crate) fn path_of(file: &Path) -> PathBuf {
        let mut path = file.as_os_str().to_owned();
        path.push(".mail");
        path.into()
    }

    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        make(&path)?;
        // Opening a pipe in its place would wait for somebody at its other end.
        let only_folders = OFlags::DIRECTORY.bits().cast_signed();
        let opened = OpenOptions::new().read(true).custom_flags(only_folders).open(&path)?;
        Ok(Self { path, opened })
    }

    /// Makes the folder again where somebody removed it. The turns of those who opened it stay with the
    /// one that was removed, and SQLite's own lock is between them and others.
    pub(crate) fn make_again(&self) -> io::Result<()> {
        make(&self.path)
    }

    /// Waits for the turn to write. Who waits sleeps, and is woken by the system.
    pub(crate) fn turn(&self) -> io::Result<Turn<'_>> {
        self.opened.lock()?;
        Ok(Turn(&self.opened))
    }

    /// The turn to write; `None` if another process keeps it for longer than this, as one that is
    /// stopped does.
    #[expect(clippy::disallowed_methods, reason = "the system waits for a lock without a limit")]
    pub(crate) fn turn_within(&self, span: Duration) -> Option<Turn<'_>> {
        // Turns are far shorter than the pauses, in which most of the time nobody has one.
        for _ in 0..span.as_micros().div_ceil(PAUSE.as_micros()) {
            if let Some(turn) = self.try_turn() {
                return Some(turn);
            }
            thread::sleep(PAUSE);
        }
        None
    }

    /// The turn to write, if nobody else has it.
    pub(crate) fn try_turn(&self) -> Option<Turn<'_>> {
        self.opened.try_lock().ok()?;
        Some(Turn(&self.opened))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A path of a socket in the folder that is not too long.
    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        let path = self.file(name);
        match path.as_os_str().len() {
            0..=SOCKET_PATH => path,
            _ => format!("/proc/self/fd/{}/{name}", self.opened.as_raw_fd()).into(),
        }
    }

    /// The file that says that notices for a mailbox were lost.
    pub(crate) fn missed(&self, mailbox: &str) -> PathBuf {
        self.file(&format!("{mailbox}{MISSED}"))
    }

    /// Removes what processes left that ended without closing their mailboxes, and nothing else: a
    /// folder of this name may have been there before.
    pub(crate) fn remove_dead(&self) -> io::Result<()> {
        let probe = UnixDatagram::unbound()?;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let mailbox = name.strip_suffix(MISSED).unwrap_or(name);
            if MailboxId::parse(mailbox).is_err() {
                continue;
            }
            let is_left = match name == mailbox {
                true => probe.connect(self.socket(name)).is_err_and(|error| is_dead(&error)),
                false => !self.file(mailbox).exists(),
            };
            if is_left {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

fn make(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Returns `true` if the socket has no reader.
pub(crate) fn is_dead(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}
