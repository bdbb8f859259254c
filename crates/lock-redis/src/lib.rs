//! The lock store in Redis or Valkey: the rules of `lock-core` in scripts that run on the server.

mod backend;
mod batch;
mod commands;
mod config;
mod connection;
mod contended;
mod dialer;
mod end;
mod error;
mod health;
mod inspector;
mod journal;
mod keeper;
mod layout;
mod link;
mod listing;
mod notify;
mod record;
mod repair;
mod reply;
mod script;
mod subscription;
mod supervised;
mod sweeper;
mod terms;

pub use backend::RedisBackend;
pub use config::RedisConfig;
pub use redis;
pub use repair::Repair;
