#![doc = include_str!("../README.md")]

mod backend;
mod batch;
mod batcher;
mod command;
mod config;
mod connection;
mod contended;
mod dialer;
mod end;
mod error;
mod gathered;
mod health;
mod inspector;
mod journal;
mod keeper;
mod layout;
mod link;
mod notify;
mod record;
mod reply;
mod script;
mod standing;
mod store;
mod subscription;
mod supervised;
mod terms;

pub use backend::RedisBackend;
pub use command::Repair;
pub use config::RedisConfig;
pub use redis;
