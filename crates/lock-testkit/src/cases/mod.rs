//! The cases, one module a promise.

#![expect(clippy::panic, clippy::missing_panics_doc, reason = "a case fails by panicking")]

pub mod cancel;
pub mod clock;
pub mod crowds;
pub mod events;
pub mod evict;
pub mod exclusion;
pub mod handoff;
pub mod inspection;
pub mod isolation;
pub mod leases;
pub mod listing;
pub mod liveness;
pub mod metadata;
pub mod queue;
pub mod release;
pub mod renewal;
pub mod requests;
pub mod shared;
pub mod tokens;
pub mod transfer;
pub mod waits;
