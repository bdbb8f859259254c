//! Files that cannot be used, disks that are full, mailboxes of the dead.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod disk;
mod files;
mod scene;
mod sockets;
