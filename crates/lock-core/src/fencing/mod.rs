//! Checks of fencing tokens, for the resource that a lock protects.
//!
//! A holder that was paused wakes with a guard whose lease is over. Its writes do no harm if the
//! resource remembers the highest token that has written, and refuses lower ones, **in one step with
//! the write**: a check before the write lets another writer come in between. A write with the same
//! token is repeated by its holder, and passes.
//!
//! | resource | check |
//! |---|---|
//! | a file | [`FencedFile`] |
//! | state of a process, also behind HTTP | [`Fence`], and the header [`HEADER`] |
//! | an SQL table | a condition of the `UPDATE`: see `docs/guarantees.md` |
//! | a key of Redis | a script: `lock_redis::fencing` |
//!
//! # HTTP
//!
//! A client sends `Fencing-Token: 1800000000000000`, the token in decimal digits, with every request
//! that writes. The server keeps the highest token of each protected resource with the resource, and
//! answers `428 Precondition Required` without the header, `400 Bad Request` where it is no token,
//! and `412 Precondition Failed` where it is lower than the highest. [`from_header`] reads it.

mod fence;
mod file;
mod header;

pub use fence::{Fence, StaleToken};
pub use file::FencedFile;
pub use header::{HEADER, HeaderError, from_header};
