//! Statuses: the mirror's is what counts, and the primary's follows it.

use super::notes::Ended;
use super::{Fallback, MOST_ATTEMPTS};
use crate::migrate::Record;
use lock_compat::legacy::{PullRequest, PullStatus, decode, pull_key};
use lock_compat::{LegacyError, Result};

impl Fallback {
    /// Changes a status in the mirror, and then makes the primary's the same.
    pub(super) async fn change_status<T>(
        &self,
        pull: &PullRequest,
        change: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let key = pull_key(pull)?;
        let _gate = self.0.gate.read().await;
        self.look_before().await?;
        let answer = change.await?;
        // Where the primary does not follow, a comparison sees that it differs.
        self.follow(&key).await.map_err(half_done)?;
        Ok(answer)
    }

    pub(super) async fn status(&self, pull: &PullRequest) -> Result<Option<PullStatus>> {
        let key = pull_key(pull)?;
        let _gate = self.0.gate.read().await;
        let primary = self.ask_primary(self.primary().document(&key));
        let (primary, mirror) = tokio::join!(primary, self.mirror().document(&key));
        let (primary, mirror) = (primary?, mirror?);
        let found = match (mirror, primary.flatten()) {
            (Some(mirror), _) => mirror,
            (None, Some(primary)) if !self.is_forgotten(&key).await? => primary,
            (None, _) => return Ok(None),
        };
        Ok(Some(decode(&key, &found)?))
    }

    async fn is_forgotten(&self, key: &str) -> Result<bool> {
        let status = Record::read(key, b"null")?;
        self.is_over(&status).await
    }

    pub(super) async fn forget_status(&self, pull: &PullRequest) -> Result<()> {
        let key = pull_key(pull)?;
        let _gate = self.0.gate.read().await;
        self.look_before().await?;
        let is_gone = self.forget_in_primary(&key).await?.is_some();
        if !is_gone {
            self.note(&Ended::Status(key.clone())).await?;
        }
        self.mirror().delete_pull_status(pull).await?;
        // A comparison may have given it back meanwhile.
        match self.forget_in_primary(&key).await {
            Ok(Some(true)) if is_gone => self.mirror().delete_pull_status(pull).await,
            Ok(Some(_)) => Ok(()),
            Ok(None) if !is_gone => Ok(()),
            Ok(None) | Err(_) => self.note(&Ended::Status(key)).await,
        }
    }

    /// Removes a status from the primary, and says whether there was one.
    async fn forget_in_primary(&self, key: &str) -> Result<Option<bool>> {
        for _ in 0..MOST_ATTEMPTS {
            let Some(there) = self.ask_primary(self.primary().document(key)).await? else {
                return Ok(None);
            };
            let Some(there) = there else { return Ok(Some(false)) };
            let remove = self.primary().swap_document(key, Some(&there), None);
            match self.ask_primary(remove).await? {
                None => return Ok(None),
                Some(true) => return Ok(Some(true)),
                Some(false) => {}
            }
        }
        Err(LegacyError::Contended { key: key.to_owned() })
    }

    /// Makes a status of the primary what the mirror has; `None` when the mirror serves alone.
    async fn follow(&self, key: &str) -> Result<Option<()>> {
        for _ in 0..MOST_ATTEMPTS {
            // In this order: what is written is never older than what it replaces.
            let Some(primary) = self.ask_primary(self.primary().document(key)).await? else {
                return Ok(None);
            };
            let mirror = self.mirror().document(key).await?;
            if primary == mirror {
                return Ok(Some(()));
            }
            let swap = self.primary().swap_document(key, primary.as_deref(), mirror.as_deref());
            match self.ask_primary(swap).await? {
                None => return Ok(None),
                Some(true) if self.mirror().document(key).await? == mirror => return Ok(Some(())),
                Some(_) => {}
            }
        }
        Err(LegacyError::Contended { key: key.to_owned() })
    }
}

/// The mirror has it and the primary may not: the call may have happened.
pub(super) fn half_done(error: LegacyError) -> LegacyError {
    match error {
        LegacyError::Store { source, .. } => LegacyError::Store { unknown: true, source },
        error => error,
    }
}
