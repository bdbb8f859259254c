#![doc = include_str!("../README.md")]

mod backend;
mod inspector;
mod journal;
mod notify;
mod table;
mod waits;
mod wake;

pub use backend::MemoryBackend;
