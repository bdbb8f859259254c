//! Limits of the service.

use std::time::Duration;

use crate::TerraformPolicy;

/// Limits of the service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceConfig {
    /// Longest wait of one call for a key; a client that waits longer asks again.
    pub longest_wait: Duration,
    /// Time-out of a call to the store.
    pub operation_timeout: Duration,
    /// Time-out of the store for the answer of `GET /readyz`.
    pub ready_timeout: Duration,
    /// `true` if only requests are answered whose `Host` is a name of this machine for itself.
    pub local_names_only: bool,
    /// Maximum number of connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// Maximum number of requests of one token that wait at a time.
    pub waits: usize,
    /// Time-out of the head of a request.
    pub header_timeout: Duration,
    /// Time-out for open connections at the end.
    pub shutdown_timeout: Duration,
    /// Maximum number of bytes of a request's body.
    pub body_bytes: usize,
    /// Maximum number of bytes of a Terraform state.
    pub state_bytes: usize,
    /// Longest wait of Terraform's `LOCK` before it is answered 423; `None` is for ever.
    pub terraform_patience: Option<Duration>,
    /// Terms of the runs of Terraform.
    pub terraform_policy: TerraformPolicy,
    /// Interval between two lines of a connection that holds a key.
    pub pulse: Duration,
}

impl Default for ServiceConfig {
    /// Waits of an hour, 10 s for the store, 2 s to tell that it is ready, names of this machine only,
    /// 16,384 connections, 1,000 waiting requests of a token, 10 s for the head of a request, 5 s for
    /// connections at the end, bodies of 1 MiB, states of 256 MiB, Terraform waits for ever without rules, a line every 10 s.
    fn default() -> Self {
        Self {
            longest_wait: Duration::from_secs(3600),
            operation_timeout: Duration::from_secs(10),
            ready_timeout: Duration::from_secs(2),
            local_names_only: true,
            connections: 16_384,
            waits: 1000,
            header_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(5),
            body_bytes: 1024 * 1024,
            state_bytes: 256 * 1024 * 1024,
            terraform_patience: None,
            terraform_policy: TerraformPolicy::default(),
            pulse: Duration::from_secs(10),
        }
    }
}

impl ServiceConfig {
    /// The default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the wait of one call for a key.
    #[must_use]
    pub fn with_longest_wait(self, longest_wait: Duration) -> Self {
        Self { longest_wait, ..self }
    }

    /// Limits the time for an answer of the store.
    #[must_use]
    pub fn with_operation_timeout(self, operation_timeout: Duration) -> Self {
        Self { operation_timeout, ..self }
    }

    /// Limits the time for an answer of the store that shows that the service is ready.
    #[must_use]
    pub fn with_ready_timeout(self, ready_timeout: Duration) -> Self {
        Self { ready_timeout, ..self }
    }

    /// Answers requests for any name, for a service that other machines reach. While it has no
    /// authentication, a page in a browser may then reach it by a name that leads here.
    #[must_use]
    pub fn with_any_name(self) -> Self {
        Self { local_names_only: false, ..self }
    }

    /// Limits the number of connections.
    #[must_use]
    pub fn with_connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// Limits the number of requests of one token that wait at a time; a further one is answered 429.
    #[must_use]
    pub fn with_waits(self, waits: usize) -> Self {
        Self { waits, ..self }
    }

    /// Limits the time in which the head of a request arrives.
    #[must_use]
    pub fn with_header_timeout(self, header_timeout: Duration) -> Self {
        Self { header_timeout, ..self }
    }

    /// Limits the time for which open connections are waited for at the end.
    #[must_use]
    pub fn with_shutdown_timeout(self, shutdown_timeout: Duration) -> Self {
        Self { shutdown_timeout, ..self }
    }

    /// Limits the body of a request.
    #[must_use]
    pub fn with_body_bytes(self, body_bytes: usize) -> Self {
        Self { body_bytes, ..self }
    }

    /// Limits the body of a Terraform state.
    #[must_use]
    pub fn with_state_bytes(self, state_bytes: usize) -> Self {
        Self { state_bytes, ..self }
    }

    /// Answers Terraform's `LOCK` after this time: behind a proxy that cuts idle connections, a little
    /// less than its limit. The place lives for 60 s, in which Terraform asks again with
    /// `-lock-timeout`.
    #[must_use]
    pub fn with_terraform_patience(self, patience: Duration) -> Self {
        Self { terraform_patience: Some(patience), ..self }
    }

    /// Gives the locks of Terraform's states the terms of this policy.
    #[must_use]
    pub fn with_terraform_policy(self, terraform_policy: TerraformPolicy) -> Self {
        Self { terraform_policy, ..self }
    }

    /// Sends a line this often to a client whose connection holds a key.
    #[must_use]
    pub fn with_pulse(self, pulse: Duration) -> Self {
        Self { pulse, ..self }
    }
}
