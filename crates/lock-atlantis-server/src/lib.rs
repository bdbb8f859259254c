#![doc = include_str!("../README.md")]

mod codec;
mod command;
mod config;
mod connection;
mod records;
mod script;
mod service;
mod session;

pub use config::AtlantisServiceConfig;
pub use service::AtlantisService;
