//! The health of the primary store: counts its failures, and decides when it serves again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::time::{Instant, sleep};

use super::{Fallback, FallbackConfig, OnLoss, Shared};
use lock_compat::{LegacyError, Result};

/// The health of the primary, as this process sees it.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The instants of the last failures, oldest first.
    failures: VecDeque<Instant>,
    /// True if the last call failed.
    is_doubtful: bool,
    /// True if the mirror serves alone.
    is_lost: bool,
    /// True if a task probes the primary.
    is_watched: bool,
}

impl State {
    /// Counts a failure, and returns `true` if the primary is now lost.
    fn fail(&mut self, now: Instant, config: &FallbackConfig) -> bool {
        self.is_doubtful = true;
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|first| now - *first > config.window) {
            self.failures.pop_front();
        }
        let is_over = self.failures.len() >= config.failures.max(1) as usize;
        self.is_lost |= is_over && config.on_loss == OnLoss::ServeMirror;
        self.is_lost
    }
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.state().is_lost
    }

    /// Both stores are the same, so the primary serves again.
    pub(super) fn restore(&self) {
        let mut state = self.state();
        state.failures.clear();
        (state.is_doubtful, state.is_lost) = (false, false);
    }
}

impl Fallback {
    /// Calls the primary, unless the mirror serves alone; `None` if it does from now on.
    pub(super) async fn ask_primary<T>(
        &self,
        call: impl Future<Output = Result<T>>,
    ) -> Result<Option<T>> {
        if self.0.health.is_lost() {
            return Ok(None);
        }
        match call.await {
            Err(error @ LegacyError::Store { .. }) => {
                self.watch();
                if self.0.health.state().fail(Instant::now(), &self.0.config) {
                    tracing::warn!(%error, "the primary store is lost: the mirror serves alone");
                    return Ok(None);
                }
                Err(error)
            }
            answer => {
                self.0.health.state().is_doubtful = false;
                answer.map(Some)
            }
        }
    }

    /// Probes a primary that failed last time before a change, so that no change begins that cannot
    /// be completed.
    pub(super) async fn look_before(&self) -> Result<()> {
        let is_doubtful = self.0.health.state().is_doubtful;
        if is_doubtful {
            self.ask_primary(self.primary().ping()).await?;
        }
        Ok(())
    }

    /// Starts the probing of the primary, until it is healthy and the stores are the same.
    pub(super) fn watch(&self) {
        if !std::mem::replace(&mut self.0.health.state().is_watched, true) {
            tokio::spawn(watch(Arc::downgrade(&self.0)));
        }
    }
}

/// Probes the primary until it was healthy for long enough and a reconciliation is clean. Ends with
/// the last clone.
async fn watch(shared: Weak<Shared>) {
    let mut healthy_since: Option<Instant> = None;
    loop {
        let Some(config) = shared.upgrade().map(|shared| shared.config) else { return };
        sleep(config.probe_every).await;
        let Some(fallback) = shared.upgrade().map(Fallback) else { return };
        let asked = Instant::now();
        if fallback.primary().ping().await.is_err() {
            healthy_since = None;
            continue;
        }
        // A call that failed meanwhile also counts.
        let failed = fallback.0.health.state().failures.back().copied();
        let since = *healthy_since.get_or_insert(asked);
        let since = failed.map_or(since, |failed| failed.max(since));
        if Instant::now() - since < config.healthy_for {
            continue;
        }
        match fallback.reconcile().await {
            Ok(report) if report.is_clean() => {
                let mut state = fallback.0.health.state();
                if !state.is_doubtful && !state.is_lost {
                    state.is_watched = false;
                    tracing::info!(%report, "both stores serve again");
                    return;
                }
            }
            Ok(report) => tracing::warn!(%report, "the stores are not the same"),
            Err(error) => tracing::warn!(%error, "the stores cannot be compared"),
        }
        healthy_since = None;
    }
}
