#![doc = include_str!("../README.md")]

pub mod client;
pub mod cluster;
pub mod proxy;
pub mod sentinel;
pub mod server;
