#![doc = include_str!("../README.md")]

mod api;
mod config;
mod problem;
mod service;

pub use config::ServiceConfig;
pub use problem::{Outcome, Problem};
pub use service::Service;
