//! The record of forced acts.

mod act;
mod client;
mod log;

pub(crate) use act::Act;
pub(crate) use client::{Client, Peer};
pub use log::AuditLog;
