//! Deadline and loss of a lease, shared by its guard and its renewal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::meters::Meters;
use super::wanted::Wanted;
use crate::{Lease, LossReason};

/// Local deadline of a lease that was granted or renewed by a command sent at `sent` and lasts at
/// least `span` from then on.
///
/// A tenth of the span, between two milliseconds and two seconds, is reserved as a margin for
/// timers that are coarse, for clocks that run at different speeds and for the holder to stop.
pub(super) fn deadline(sent: Instant, span: Duration) -> Instant {
    let margin = (span / 10).clamp(Duration::from_millis(2), Duration::from_secs(2));
    sent + span.saturating_sub(margin)
}

/// Deadline of a lease by this process's clock, and its loss.
///
/// A loss is final.
#[derive(Debug)]
pub(super) struct LeaseValidity {
    lease: Lease,
    meters: Arc<Meters>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    deadline: Option<Instant>,
    /// `true` once the lease has its full length instead of its claim window.
    is_claimed: bool,
    /// When the last renewal was sent that was answered.
    renewed_at: Option<Instant>,
    lost: Option<LossReason>,
    /// The last request to release the key.
    wanted: Option<Box<Wanted>>,
    /// `true` while an upgrade is under way, whose grant ends the lease.
    gives_way: bool,
}

impl LeaseValidity {
    /// A lease that lasts until `deadline`; `None` is for ever.
    pub(super) fn new(
        lease: Lease,
        meters: Arc<Meters>,
        deadline: Option<Instant>,
        is_claimed: bool,
    ) -> Self {
        let state = State {
            deadline,
            is_claimed,
            renewed_at: None,
            lost: None,
            wanted: None,
            gives_way: false,
        };
        Self { lease, meters, state: Mutex::new(state), changed: Notify::new() }
    }

    /// The lease as it was granted.
    pub(super) const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Returns `true` once the lease has its full length.
    pub(super) fn is_claimed(&self) -> bool {
        self.state().is_claimed
    }

    /// Until when the holder may take the lease for alive.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.state().deadline
    }

    /// Why the lease is lost at the time `now`, if it is.
    pub(super) fn lost(&self, now: Instant) -> Option<LossReason> {
        let mut state = self.state();
        if state.lost.is_some() || state.deadline.is_none_or(|deadline| deadline > now) {
            return state.lost.clone();
        }
        state.lost = Some(LossReason::Overdue);
        drop(state);
        self.report(&LossReason::Overdue);
        Some(LossReason::Overdue)
    }

    /// Notes that the lease is lost; the first reason stays.
    pub(super) fn lose(&self, reason: LossReason) {
        let mut state = self.state();
        if state.lost.is_none() {
            let reason = state.lost.insert(reason).clone();
            let is_expected = state.gives_way && matches!(reason, LossReason::NotHeld);
            drop(state);
            if !is_expected {
                self.report(&reason);
            }
        }
        self.changed.notify_waiters();
    }

    /// Notes that an upgrade of the lease begins: that the store has it no longer may be the grant, and
    /// is no loss to report.
    pub(super) fn give_way(&self) {
        let mut state = self.state();
        state.gives_way = state.lost.is_none();
    }

    /// Notes that the upgrade failed.
    pub(super) fn stay(&self) {
        let mut state = self.state();
        let gave_way = std::mem::take(&mut state.gives_way);
        let reason = state.lost.clone();
        drop(state);
        if let Some(reason @ LossReason::NotHeld) = reason.filter(|_| gave_way) {
            self.report(&reason);
        }
    }

    /// Notes that somebody wants the key.
    pub(super) fn want(&self, wanted: Wanted) {
        self.state().wanted = Some(Box::new(wanted));
        self.changed.notify_waiters();
    }

    /// Who wants the key at the time `now`, as far as it was asked for.
    pub(super) fn wanted(&self, now: Instant) -> Option<Wanted> {
        let wanted = self.state().wanted.as_deref().cloned();
        wanted.filter(|wanted| wanted.until.is_none_or(|until| until > now))
    }

    /// Waits until somebody asks for the key.
    pub(super) async fn until_wanted(&self) -> Wanted {
        loop {
            let changed = self.changed.notified();
            if let Some(wanted) = self.wanted(Instant::now()) {
                return wanted;
            }
            changed.await;
        }
    }

    /// Counts and logs the loss.
    fn report(&self, reason: &LossReason) {
        self.meters.lost(reason);
        let Lease { key, owner, token, .. } = &self.lease;
        let token = token.get();
        match reason {
            LossReason::Overdue | LossReason::NotHeld | LossReason::Ended(_) => {
                tracing::warn!(lock.key = %key, lock.owner = %owner, lock.token = token, %reason, "a lease was lost");
            }
            LossReason::Adopted | LossReason::ShutDown => {
                tracing::debug!(lock.key = %key, lock.owner = %owner, lock.token = token, %reason, "a lease was lost");
            }
        }
    }

    /// Notes that a renewal is sent that makes the lease last until `deadline` at the least: where
    /// that is sooner than now, it counts from now on, since the store may do it at any time.
    pub(super) fn expect(&self, deadline: Option<Instant>) {
        let mut state = self.state();
        if let Some(expected) = deadline
            && state.deadline.is_none_or(|known| expected < known)
        {
            state.deadline = Some(expected);
        }
    }

    /// Notes that the renewal that was sent at `sent` made the lease last until then, unless it was
    /// lost before `now`.
    ///
    /// Of two renewals that cross each other, the one that was sent last counts, and never longer
    /// than the other.
    pub(super) fn extend(&self, sent: Instant, now: Instant, deadline: Option<Instant>) {
        if self.lost(now).is_some() {
            return;
        }
        let mut state = self.state();
        state.is_claimed = true;
        if state.renewed_at.is_none_or(|renewed_at| renewed_at <= sent) {
            state.renewed_at = Some(sent);
            state.deadline = deadline;
        } else if let Some(deadline) = deadline {
            state.deadline = Some(state.deadline.map_or(deadline, |known| known.min(deadline)));
        }
    }

    /// Waits until the lease is lost.
    ///
    /// The deadline is watched here and not only by the renewal, so that a holder learns of it
    /// even when nothing else gets to run.
    pub(super) async fn until_lost(&self) -> LossReason {
        loop {
            let changed = self.changed.notified();
            if let Some(reason) = self.lost(Instant::now()) {
                return reason;
            }
            match self.deadline() {
                Some(deadline) => drop(tokio::time::timeout_at(deadline, changed).await),
                None => changed.await,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
