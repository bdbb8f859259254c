//! The store beyond one server: the master that sentinels name.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[cfg(feature = "cluster")]
mod cluster;
mod conformance;
mod load;
mod sentinel;
