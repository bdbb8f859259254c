//! Mailboxes: a datagram socket for each, which a thread reads.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lock_core::MailboxId;
use lock_host::Inbox;

use crate::folder::{Folder, is_dead};

/// Interval at which an idle reader checks that its socket still exists, no longer than a heartbeat of
/// the default keep-alive. Each check wakes the process.
const LOOK: Duration = Duration::from_secs(3);
/// The largest notice: a key, an owner and a reason, each written out.
const LARGEST: usize = 64 * 1024;

/// Sends notices to the mailboxes of other processes.
#[derive(Debug)]
pub(crate) struct Post {
    folder: Arc<Folder>,
    socket: UnixDatagram,
}

impl Post {
    pub(crate) fn new(folder: Arc<Folder>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A reader that is slow or stopped does not hold up who writes.
        socket.set_nonblocking(true)?;
        Ok(Self { folder, socket })
    }

    pub(crate) fn send(&self, mailbox: MailboxId, notice: &[u8]) {
        let name = mailbox.to_string();
        match self.socket.send_to(notice, self.folder.socket(&name)) {
            Ok(_) => {}
            // The mailbox has no reader, or none any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if is_dead(&error) => drop(fs::remove_file(self.folder.file(&name))),
            // The reader finds this when it has read what is there. A link in its place is not followed.
            Err(_) => drop(File::create_new(self.folder.missed(&name))),
        }
    }
}

/// A mailbox that is open until this is dropped.
pub(crate) struct Mailbox {
    is_closed: Arc<AtomicBool>,
    socket: Arc<UnixDatagram>,
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Release);
        // The reader wakes, and removes the socket.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

impl Mailbox {
    pub(crate) fn open(folder: Arc<Folder>, mailbox: MailboxId, inbox: Inbox) -> io::Result<Self> {
        let (socket, inode) = bind(&folder, mailbox)?;
        // After that, so that what this mailbox missed before it was opened again is not forgotten.
        folder.remove_dead()?;
        let (is_closed, socket) = (Arc::new(AtomicBool::new(false)), Arc::new(socket));
        let (closed, reads) = (Arc::clone(&is_closed), Arc::clone(&socket));
        let mut reader = Reader { folder, mailbox, inbox, is_closed: closed, inode };
        let thread = std::thread::Builder::new().name("lock-mailbox".to_owned());
        thread.spawn(move || reader.read(&reads))?;
        Ok(Self { is_closed, socket })
    }
}

fn bind(folder: &Folder, mailbox: MailboxId) -> io::Result<(UnixDatagram, u64)> {
    let name = mailbox.to_string();
    let path = folder.file(&name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixDatagram::bind(folder.socket(&name))?;
    socket.set_read_timeout(Some(LOOK))?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    let inode = fs::symlink_metadata(&path)?.ino();
    Ok((socket, inode))
}

/// The thread that reads a mailbox.
struct Reader {
    folder: Arc<Folder>,
    mailbox: MailboxId,
    inbox: Inbox,
    is_closed: Arc<AtomicBool>,
    /// By which the socket is known to be the one that this reader made.
    inode: u64,
}

impl Reader {
    fn read(&mut self, first: &UnixDatagram) {
        let mut again = None;
        let mut buffer = vec![0; LARGEST];
        while !self.is_closed.load(Ordering::Acquire) {
            let socket = again.as_ref().unwrap_or(first);
            match socket.recv(&mut buffer) {
                Ok(0) => {}
                Ok(length) => self.inbox.deliver(&buffer[..length]),
                Err(_) if !self.is_there() => {
                    // Somebody cleared the folder. Where that cannot be mended, waiters are heard
                    // at their heartbeats.
                    let made = self.folder.make_again();
                    let bound = made.and_then(|()| bind(&self.folder, self.mailbox));
                    if let Ok((socket, inode)) = bound {
                        (again, self.inode) = (Some(socket), inode);
                    }
                    self.inbox.may_have_missed();
                }
                Err(_) => {}
            }
            if fs::remove_file(self.folder.missed(&self.mailbox.to_string())).is_ok() {
                self.inbox.may_have_missed();
            }
        }
        if self.is_there() {
            let _ = fs::remove_file(self.folder.file(&self.mailbox.to_string()));
        }
    }

    fn is_there(&self) -> bool {
        let path = self.folder.file(&self.mailbox.to_string());
        fs::symlink_metadata(path).is_ok_and(|found| found.ino() == self.inode)
    }
}
