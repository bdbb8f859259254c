//! The requests of each client that wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;

use super::Caller;
use crate::problem::Problem;

/// The requests of each client that wait; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits(Arc<Mutex<HashMap<String, usize>>>);

/// A request that waits, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    waits: Waits,
    client: String,
}

impl Waits {
    /// Counts a request, if fewer than `limit` of the client wait. Clients without tokens are not told
    /// apart, and are limited by their connections alone.
    pub(crate) fn enter(&self, caller: &Caller, limit: usize) -> Result<Option<Waiting>, Problem> {
        let Caller::Known(_) = caller else { return Ok(None) };
        let client = caller.name().to_owned();
        let mut waits = self.waits();
        let count = waits.entry(client.clone()).or_default();
        if *count >= limit {
            let detail = format!("{count} requests of the token `{client}` wait, at most {limit}");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_waits", detail));
        }
        *count += 1;
        drop(waits);
        Ok(Some(Waiting { waits: self.clone(), client }))
    }

    fn waits(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waits = self.waits.waits();
        if let Some(count) = waits.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                waits.remove(&self.client);
            }
        }
    }
}
