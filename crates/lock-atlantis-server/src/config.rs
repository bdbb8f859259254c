//! Limits of the service.

use std::time::Duration;

/// Limits of the service. Each bounds what one client can cost.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AtlantisServiceConfig {
    /// Maximum number of connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// Maximum number of bytes of a command. One that has not authenticated gets 64 KiB at most.
    pub frame_bytes: usize,
    /// Maximum number of bytes of an answer that waits to be sent.
    pub output_bytes: usize,
    /// Maximum number of commands that are answered before the answers are sent.
    pub pipeline: usize,
    /// Longest silence between two commands.
    pub idle_timeout: Duration,
    /// Longest time for the rest of a command, for a handshake, and to authenticate.
    pub frame_timeout: Duration,
    /// Longest time in which a client takes an answer.
    pub write_timeout: Duration,
    /// Time-out of a call to the store. The read time-out of go-redis is 3 s: a shorter one here lets
    /// Atlantis see the reason.
    pub operation_timeout: Duration,
    /// Time-out for open connections at the end.
    pub shutdown_timeout: Duration,
}

impl Default for AtlantisServiceConfig {
    /// 1,024 connections, commands and answers of 16 MiB, pipelines of 128, an hour of silence (a pool
    /// of go-redis closes its connections after half of that), 10 s for a command and for an answer,
    /// 2.5 s for the store, 5 s at the end.
    fn default() -> Self {
        Self {
            connections: 1024,
            frame_bytes: 16 * 1024 * 1024,
            output_bytes: 16 * 1024 * 1024,
            pipeline: 128,
            idle_timeout: Duration::from_secs(3600),
            frame_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            operation_timeout: Duration::from_millis(2500),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

impl AtlantisServiceConfig {
    /// The default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the number of connections.
    #[must_use]
    pub fn with_connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// Limits a command.
    #[must_use]
    pub fn with_frame_bytes(self, frame_bytes: usize) -> Self {
        Self { frame_bytes, ..self }
    }

    /// Limits an answer.
    #[must_use]
    pub fn with_output_bytes(self, output_bytes: usize) -> Self {
        Self { output_bytes, ..self }
    }

    /// Limits the number of commands that are answered before the answers are sent, at least 1.
    #[must_use]
    pub fn with_pipeline(self, pipeline: usize) -> Self {
        Self { pipeline: pipeline.max(1), ..self }
    }

    /// Limits the silence between two commands.
    #[must_use]
    pub fn with_idle_timeout(self, idle_timeout: Duration) -> Self {
        Self { idle_timeout, ..self }
    }

    /// Limits the time for a command, for a handshake, and to authenticate.
    #[must_use]
    pub fn with_frame_timeout(self, frame_timeout: Duration) -> Self {
        Self { frame_timeout, ..self }
    }

    /// Limits the time in which a client takes an answer.
    #[must_use]
    pub fn with_write_timeout(self, write_timeout: Duration) -> Self {
        Self { write_timeout, ..self }
    }

    /// Limits the time for an answer of the store.
    #[must_use]
    pub fn with_operation_timeout(self, operation_timeout: Duration) -> Self {
        Self { operation_timeout, ..self }
    }

    /// Limits the time for which open connections are waited for at the end.
    #[must_use]
    pub fn with_shutdown_timeout(self, shutdown_timeout: Duration) -> Self {
        Self { shutdown_timeout, ..self }
    }
}
