#![doc = include_str!("../README.md")]

mod backend;
mod batch;
mod batcher;
mod command;
mod command_queue;
mod command_state;
mod config;
mod connection;
mod connection_handle;
mod connection_supervisor;
mod contended;
mod dialer;
mod encoding;
mod end;
mod error;
mod health;
mod inspector;
mod journal;
mod layout;
mod notify;
mod record;
mod reply;
mod script;
mod store;
mod subscription;
mod supervised;

pub use backend::RedisBackend;
pub use command::Repair;
pub use config::RedisConfig;
pub use redis;
