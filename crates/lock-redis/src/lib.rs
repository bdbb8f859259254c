//! The lock store in Redis or Valkey: the rules of `lock-core` in scripts that run on the server.

mod backend;
mod batch;
mod commands;
mod config;
mod connection;
mod end;
mod error;
mod inspector;
mod journal;
mod keeper;
mod layout;
mod listing;
mod notify;
mod reply;
mod script;
mod subscription;
mod terms;

pub use backend::RedisBackend;
pub use config::RedisConfig;
