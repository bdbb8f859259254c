//! Statuses, which are no locks: each store changes its own.

use super::Fallback;
use crate::Result;
use crate::legacy::{PullRequest, pull_key};

impl Fallback {
    /// Changes a status in the primary and the mirror, and answers as the primary does, or the
    /// mirror alone.
    pub(super) async fn change_status<T>(
        &self,
        pull: &PullRequest,
        calls: [impl Future<Output = Result<T>>; 2],
    ) -> Result<T> {
        let key = pull_key(pull)?;
        let [primary, mirror] = calls;
        let _gate = self.gate.read().await;
        let answer = self.ask_primary(primary).await?;
        if answer.is_none() {
            self.changed().statuses.insert(key);
        }
        let mirrored = mirror.await?;
        Ok(answer.unwrap_or(mirrored))
    }
}
