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

use std::time::Duration;

use lock_core::{AcquireRequest, LockKey, OwnerId, RequestId};

/// Longer than a failover takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request of `alice` for a key.
fn request(key: &str) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(key).unwrap(), OwnerId::parse("alice").unwrap());
    AcquireRequest::new(RequestId::random(), key, owner)
}
