//! The cases, one module a promise.

pub mod exclusion;
