#![doc = include_str!("../README.md")]

mod api;
mod browser;
mod config;
mod extract;
mod page;
mod problem;
mod serve;
mod service;
mod terraform;

pub use config::ServiceConfig;
pub use problem::{Outcome, Problem};
pub use service::Service;
pub use terraform::{FileStates, Refused, StateError, StateName, StateStore, Write};
