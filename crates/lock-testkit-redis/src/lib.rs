#![doc = include_str!("../README.md")]

/// Looks again and again until something holds. A macro, as the future of a function that takes an async
/// closure cannot be sent to another thread.
macro_rules! until {
    ($what:literal, $holds:expr) => {
        let deadline = Instant::now() + PATIENCE;
        while !$holds {
            assert!(Instant::now() < deadline, "in time: {}", $what);
            sleep(GLANCE).await;
        }
    };
}

pub mod client;
pub mod cluster;
pub mod proxy;
pub mod sentinel;
pub mod server;
