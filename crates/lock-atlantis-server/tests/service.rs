//! The service as clients of Redis see it.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

#[path = "service/access.rs"]
mod access;
#[path = "service/common.rs"]
mod common;
#[path = "service/hostile.rs"]
mod hostile;
#[path = "service/locks.rs"]
mod locks;
#[path = "service/races.rs"]
mod races;
#[path = "service/recorded.rs"]
mod recorded;
#[path = "service/statuses.rs"]
mod statuses;
#[path = "service/tls.rs"]
mod tls;
