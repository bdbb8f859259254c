//! The lock store in memory: the state machine of `lock-core` under the shards of a concurrent map.

mod backend;
mod inspector;
mod journal;
mod notify;
mod table;
mod waits;
mod wake;

pub use backend::MemoryBackend;
