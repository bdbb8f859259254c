//! The lock store in memory: the state machine of `lock-core` under the shards of a concurrent map.

mod backend;
mod notify;
mod table;
mod watch;

pub use backend::MemoryBackend;
