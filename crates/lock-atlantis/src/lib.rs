#![doc = include_str!("../README.md")]

mod documents;
mod redis;
mod server;

pub mod fallback;
pub mod migrate;

pub use crate::redis::{AtlantisRedis, KeyMigration};
pub use documents::RedisDocuments;
pub use server::ServerConfig;
