//! The task that renews what a manager holds, in batches.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::evidence::Answered;
use super::hold::{Hold, LossReason};
use super::schedule::{Batch, Outcome, Schedule};
use crate::{Lease, LeaseName, LockStore, MailboxId, RenewRequest, Renewal, Timed};

/// The leases that a manager holds, shared by its guards and the task that renews them.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    schedule: Mutex<Schedule>,
    /// There is a lease to be renewed sooner than the task knows, or the task is to end.
    sooner: Notify,
    stopped: AtomicBool,
    ended: Notify,
}

impl Renewals {
    /// Looks after a lease that lasts `lasts` from `since` on.
    pub(super) fn insert(
        &self,
        lease: &Lease,
        mailbox: MailboxId,
        hold: Arc<Hold>,
        since: Instant,
        lasts: Option<Duration>,
    ) {
        let renewal = RenewRequest::new(lease.name(), lease.ttl).with_mailbox(mailbox);
        if self.schedule().insert(renewal, hold, since, lasts) {
            self.sooner.notify_one();
        }
    }

    /// Forgets a lease: no renewal of it is sent from now on. `false` when this guard is not in
    /// charge of it.
    pub(super) fn remove(&self, lease: &LeaseName, hold: &Arc<Hold>) -> bool {
        self.schedule().remove(lease, hold)
    }

    /// Renews every lease now.
    pub(super) fn renew_all(&self) {
        self.schedule().renew_all(Instant::now());
        self.sooner.notify_one();
    }

    /// Tells the holder of a lease that it is lost, if this manager holds it.
    pub(super) fn lose(&self, lease: &LeaseName, reason: LossReason) {
        let hold = self.schedule().hold(lease).cloned();
        if let Some(hold) = hold {
            hold.lose(reason);
        }
    }

    /// Ends the tasks.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.sooner.notify_one();
        self.ended.notify_waiters();
    }

    /// Waits until the tasks are to end.
    pub(super) async fn until_stopped(&self) {
        loop {
            let ended = self.ended.notified();
            if self.is_stopped() {
                return;
            }
            ended.await;
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One command's answers, each with the lease that it is for, and when the command was sent.
type Answers = (Instant, Vec<(LeaseName, Outcome)>);

/// Renews what is due, until stopped. A slow answer holds up nobody but those in its batch.
pub(super) async fn keep(renewals: Arc<Renewals>, store: Arc<dyn LockStore>, limit: Duration) {
    let mut under_way: JoinSet<Answers> = JoinSet::new();
    while !renewals.is_stopped() {
        let plan = renewals.schedule().plan(Instant::now(), limit);
        for batch in plan.renew {
            under_way.spawn(renew(Arc::clone(&store), batch));
        }
        let next = async {
            match plan.next {
                Some(next) => sleep_until(next).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = next => {}
            () = renewals.sooner.notified() => {}
            Some(joined) = under_way.join_next() => match joined {
                Ok((sent, answers)) => {
                    let now = Instant::now();
                    let mut schedule = renewals.schedule();
                    for (lease, outcome) in answers {
                        schedule.settle(&lease, outcome, sent, now);
                    }
                }
                // The store panicked; what was under way falls due again.
                Err(error) => tracing::error!(%error, "a batch of renewals was lost"),
            }
        }
    }
}

/// Sends one batch.
async fn renew(store: Arc<dyn LockStore>, batch: Batch) -> Answers {
    let Batch { renewals, limit } = batch;
    let sent = Instant::now();
    let answers = timeout(limit, store.renew(&renewals)).await.unwrap_or_default();
    if answers.len() != renewals.len() {
        tracing::warn!(leases = renewals.len(), "the store did not answer a batch of renewals");
    }
    let outcomes = answers.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
    let judge = |(renewal, answer): (&RenewRequest, _)| {
        let outcome = match answer {
            Some(Ok(Timed { observed_at, value, .. })) => match value {
                Renewal::Renewed { expires_at } => {
                    Outcome::Renewed(Answered { sent, observed_at }.lasts(expires_at))
                }
                Renewal::Ended(end) => Outcome::Lost(LossReason::Ended(end)),
                Renewal::NotHeld => Outcome::Lost(LossReason::NotHeld),
            },
            Some(Err(error)) => {
                tracing::warn!(lock.key = %renewal.lease.key, %error, "a renewal failed");
                Outcome::Failed
            }
            None => Outcome::Failed,
        };
        (renewal.lease.clone(), outcome)
    };
    (sent, renewals.iter().zip(outcomes).map(judge).collect())
}
