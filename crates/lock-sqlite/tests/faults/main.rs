//! Files that cannot be used, disks that are full, mailboxes of the dead.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]
#![expect(clippy::print_stdout, reason = "what is skipped is said")]

mod disk;
mod files;
mod scene;
mod sockets;
mod stalls;
