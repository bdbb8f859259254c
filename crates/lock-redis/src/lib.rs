#![doc = include_str!("../README.md")]

mod backend;
mod batch;
mod batcher;
mod command;
mod command_queue;
mod command_state;
mod config;
mod connection;
mod contended;
#[cfg(feature = "cluster")]
mod divide;
mod encoding;
mod end;
mod error;
pub mod fencing;
mod health;
mod inspector;
mod journal;
#[cfg(feature = "cluster")]
mod journal_shards;
mod keyspace;
mod notify;
mod open;
mod record;
mod replicas;
mod reply;
mod route;
mod script;
#[cfg(feature = "cluster")]
mod shard_count;
mod shards;
mod store;
mod subscription;
mod telemetry;
mod topology;
mod weak_points;

pub use backend::RedisBackend;
pub use command::Repair;
pub use config::RedisConfig;
#[cfg(feature = "cluster")]
pub use divide::Division;
pub use redis;
pub use telemetry::METRICS;
