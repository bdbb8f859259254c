#![doc = include_str!("../README.md")]

mod access;
mod api;
mod audit;
mod browser;
mod config;
mod connection;
mod extract;
mod incoming;
mod page;
mod problem;
mod request_log;
mod serve;
mod service;
mod telemetry;
mod terraform;
mod tls;

pub use access::{Access, AccessClient, AccessError, AccessToken, AccessTokens, Role};
pub use audit::AuditLog;
pub use config::ServiceConfig;
pub use incoming::{Accepted, Incoming};
pub use problem::{Outcome, Problem};
pub use service::Service;
pub use telemetry::METRICS;
pub use terraform::{
    DocumentStates, FileStates, Refused, StateError, StateName, StateStore, TerraformPolicy,
    TerraformRule, Write,
};
pub use tls::{Certificate, CertificateError};
