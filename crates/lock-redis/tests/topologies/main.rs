//! The store beyond one server: the master that sentinels name, and the masters of a cluster.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the figures are part of the result")]

#[cfg(feature = "cluster")]
mod cluster;
mod conformance;
mod load;
#[cfg(all(feature = "cluster", feature = "tls-rustls"))]
mod rights;
mod sentinel;
