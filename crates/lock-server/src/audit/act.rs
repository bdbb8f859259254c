//! A forced act and its outcome.

use lock_core::{FencingToken, Lease, LockKey, OwnerId, RequestId, Waiter};
use serde::Serialize;

use super::Client;
use crate::problem::{Outcome, Problem};

/// A forced act and its outcome: a line of the audit log. It holds no secret and no metadata.
#[derive(Debug, Serialize)]
pub(crate) struct Act {
    #[serde(flatten)]
    client: Client,
    act: &'static str,
    key: LockKey,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<OwnerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The request that the client named.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestId>,
    /// Leases and waiters that were ended.
    ended: Vec<Ended>,
    outcome: &'static str,
}

#[derive(Debug, Serialize)]
struct Ended {
    owner: OwnerId,
    request: RequestId,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<FencingToken>,
}

impl Act {
    pub(crate) fn new(client: Client, act: &'static str, key: LockKey) -> Self {
        let (by, reason, request, ended) = (None, None, None, Vec::new());
        Self { client, act, key, by, reason, request, ended, outcome: "done" }
    }

    pub(crate) fn by(self, by: OwnerId) -> Self {
        Self { by: Some(by), ..self }
    }

    pub(crate) fn reason(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    pub(crate) fn request(self, request: Option<RequestId>) -> Self {
        Self { request, ..self }
    }

    pub(crate) fn lease(&mut self, lease: &Lease) {
        let Lease { owner, request, token, .. } = lease;
        self.ended.push(Ended { owner: owner.clone(), request: *request, token: Some(*token) });
    }

    pub(crate) fn waiter(&mut self, waiter: &Waiter) {
        let Waiter { owner, request, .. } = waiter;
        self.ended.push(Ended { owner: owner.clone(), request: *request, token: None });
    }

    /// The act changed nothing, or was refused.
    pub(crate) fn outcome(self, outcome: &'static str) -> Self {
        Self { outcome, ..self }
    }

    /// The act ended with this result.
    pub(crate) fn ended<T>(self, result: &Result<T, Problem>) -> Self {
        match result {
            Ok(_) => self,
            Err(problem) if problem.outcome == Outcome::Unknown => self.outcome("unknown"),
            Err(_) => self.outcome("did_not_happen"),
        }
    }
}
