//! The leases that a manager holds, and when to renew which.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::agenda::Agenda;
use super::bounded::one;
use super::clock_bound::ClockBound;
use super::lease_validity::{LeaseValidity, deadline};
use super::meters::{Meters, RenewalOutcome};
use super::rounds::{Answers, Batch, Plan, Rounds, STEP, batches};
use super::wanted::Wanted;
use crate::{
    LeaseName, LockStore, LossReason, MailboxId, Operation, RenewRequest, Renewal, Result, Timed,
    Timestamp, Ttl,
};

/// Renewal interval of a lease without a ttl, to detect its eviction.
const LOOK_AFTER: Duration = Duration::from_secs(10);
/// The shortest pause before a renewal that failed is repeated, and the shortest time for an answer.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause before a renewal that failed is repeated.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The leases that a manager holds, shared by its guards and the task that renews them.
///
/// A renewal is due after a third of the duration of the lease. Renewals due up to a twelfth of it
/// later join the same batch, so that many leases need few rounds.
#[derive(Debug)]
pub(super) struct Renewals {
    store: Arc<dyn LockStore>,
    mailbox: MailboxId,
    /// Maximum time-out of a command.
    longest: Duration,
    meters: Arc<Meters>,
    schedule: Mutex<Schedule>,
    sooner: Notify,
    /// `true` while a shutdown waits for the last guard.
    is_draining: AtomicBool,
    left: Notify,
}

#[derive(Debug, Default)]
struct Schedule {
    held: Agenda<LeaseName, HeldLease>,
    /// Next wake-up of the task; `None` if unknown.
    planned: Option<Instant>,
}

#[derive(Debug)]
struct HeldLease {
    ttl: Ttl,
    validity: Arc<LeaseValidity>,
}

impl HeldLease {
    /// Records that a renewal was sent, which may shorten the lease.
    fn expect(&self, sent: Instant) {
        self.validity.expect(self.ttl.span().map(|ttl| deadline(sent, ttl)));
    }
}

impl Renewals {
    pub(super) fn new(
        store: Arc<dyn LockStore>,
        mailbox: MailboxId,
        longest: Duration,
        meters: Arc<Meters>,
    ) -> Self {
        Self {
            store,
            mailbox,
            longest,
            meters,
            schedule: Mutex::default(),
            sooner: Notify::new(),
            is_draining: AtomicBool::new(false),
            left: Notify::new(),
        }
    }

    /// Renews a lease that lasts `lasts` from `since` on.
    pub(super) fn insert(
        &self,
        validity: Arc<LeaseValidity>,
        since: Instant,
        lasts: Option<Duration>,
    ) {
        let (name, ttl) = (validity.lease().name(), validity.lease().ttl);
        let (due, slack) = due(since, lasts);
        let mut schedule = self.schedule();
        let earlier = schedule.held.insert(name, HeldLease { ttl, validity }, due, slack);
        let is_sooner = schedule.is_sooner(due);
        drop(schedule);
        if is_sooner {
            self.sooner.notify_one();
        }
        // One lease has one guard in charge of it: the last.
        if let Some(earlier) = earlier {
            earlier.validity.lose(LossReason::Adopted);
        }
    }

    /// Forgets a lease: no renewal of it is sent from now on. `false` when this guard is not in
    /// charge of it.
    pub(super) fn remove(&self, lease: &LeaseName, validity: &Arc<LeaseValidity>) -> bool {
        let mut schedule = self.schedule();
        let removed = schedule.held.remove_if(lease, |held| Arc::ptr_eq(&held.validity, validity));
        drop(schedule);
        if self.is_draining.load(Ordering::SeqCst) {
            self.left.notify_waiters();
        }
        removed.is_some()
    }

    /// Renews every lease now.
    pub(super) fn renew_all(&self) {
        self.schedule().held.hurry();
        self.sooner.notify_one();
    }

    /// Renews a lease now.
    pub(super) fn renew_soon(&self, lease: &LeaseName) {
        self.schedule().held.set_due(lease, Instant::now(), Duration::ZERO);
        self.sooner.notify_one();
    }

    /// Marks a lease as lost, if this manager holds it.
    pub(super) fn lose(&self, lease: &LeaseName, reason: LossReason) {
        let mut schedule = self.schedule();
        let validity = schedule.held.get(lease).map(|held| Arc::clone(&held.validity));
        schedule.held.clear_due(lease);
        drop(schedule);
        if let Some(validity) = validity {
            validity.lose(reason);
            self.left.notify_waiters();
        }
    }

    /// Notes that somebody wants the key of a lease, if this manager holds it.
    pub(super) fn want(&self, lease: &LeaseName, wanted: Wanted) {
        let validity = self.schedule().held.get(lease).map(|held| Arc::clone(&held.validity));
        if let Some(validity) = validity {
            validity.want(wanted);
        }
    }

    /// Renews a lease once, outside the schedule, and returns its expiry by the store's clock.
    pub(super) async fn renew(&self, lease: &LeaseName, ttl: Ttl) -> Result<RenewedOnce> {
        let requests = [self.request(lease.clone(), ttl)];
        let sent = Instant::now();
        let hurries = {
            let schedule = self.schedule();
            if let Some(held) = schedule.held.get(lease) {
                held.expect(sent);
            }
            schedule.held.hurries()
        };
        let call = self.store.renew(&requests);
        let answer = one(self.longest, Operation::Renew, &lease.key, call).await;
        self.meters.renewed(outcome(answer.as_ref().ok().map(|answer| &answer.value)));
        let Timed { observed_at, value, .. } = answer?;
        Ok(match value {
            Renewal::Renewed { expires_at } => {
                let lasts = ClockBound { sent, observed_at }.lasts(expires_at);
                let mut schedule = self.schedule();
                let again = hurries != schedule.held.hurries();
                let due = schedule.note_renewed(lease, sent, lasts, again);
                if let Some((due, slack)) = due {
                    schedule.held.set_due(lease, due, slack);
                }
                drop(schedule);
                RenewedOnce::Until(expires_at)
            }
            Renewal::Ended(end) => self.note_lost(lease, LossReason::Ended(end)),
            Renewal::NotHeld => self.note_lost(lease, LossReason::NotHeld),
        })
    }

    /// Waits until no guard holds a lease that is alive.
    pub(super) async fn until_drained(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
        loop {
            let left = self.left.notified();
            let Some(validity) = self.alive().next() else { return };
            tokio::select! {
                biased;
                () = left => {}
                _ = validity.until_lost() => {}
            }
        }
    }

    /// Returns `true` if no guard holds a live lease.
    pub(super) fn is_drained(&self) -> bool {
        self.alive().next().is_none()
    }

    /// Marks every lease as lost by shutdown, and returns their number.
    pub(super) fn abandon(&self) -> usize {
        let mut count = 0;
        for validity in self.alive() {
            validity.lose(LossReason::ShutDown);
            count += 1;
        }
        count
    }

    /// Validities of the live leases.
    fn alive(&self) -> impl Iterator<Item = Arc<LeaseValidity>> {
        let now = Instant::now();
        let schedule = self.schedule();
        let alive = schedule.held.values().filter(|held| held.validity.lost(now).is_none());
        alive.map(|held| Arc::clone(&held.validity)).collect::<Vec<_>>().into_iter()
    }

    fn request(&self, lease: LeaseName, ttl: Ttl) -> RenewRequest {
        RenewRequest::new(lease, ttl).with_mailbox(self.mailbox)
    }

    fn note_lost(&self, lease: &LeaseName, reason: LossReason) -> RenewedOnce {
        self.lose(lease, reason.clone());
        RenewedOnce::Lost(reason)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Outcome of one renewal.
#[derive(Clone, Debug)]
pub(super) enum RenewedOnce {
    /// The lease lasts until then by the store's clock; `None` is for ever.
    Until(Option<Timestamp>),
    Lost(LossReason),
}

impl Schedule {
    /// Records a renewal sent at `sent` and its new expiry; `again` makes the lease due at once.
    /// Returns the next due time.
    fn note_renewed(
        &mut self,
        lease: &LeaseName,
        sent: Instant,
        lasts: Option<Duration>,
        again: bool,
    ) -> Option<(Instant, Duration)> {
        let now = Instant::now();
        let held = self.held.get(lease)?;
        let owner = &held.validity.lease().owner;
        tracing::debug!(
            lock.key = %lease.key,
            lock.owner = %owner,
            lock.token = lease.token.get(),
            "a lease was renewed"
        );
        held.validity.extend(sent, now, lasts.map(|lasts| deadline(sent, lasts)));
        Some(if again { (now, Duration::ZERO) } else { due(sent, lasts) })
    }

    /// Returns `true` if the task must be woken for an entry due then.
    fn is_sooner(&mut self, due: Instant) -> bool {
        let is_sooner = self.planned.is_none_or(|planned| due < planned);
        if is_sooner {
            self.planned = Some(due);
        }
        is_sooner
    }
}

impl Rounds for Renewals {
    type Request = RenewRequest;
    type Answer = Renewal;

    fn plan(&self, now: Instant) -> Plan<RenewRequest> {
        let mut schedule = self.schedule();
        let taken = schedule.held.take_due(now, STEP);
        let mut due = Vec::with_capacity(taken.names.len());
        for name in taken.names {
            let Some(held) = schedule.held.get(&name) else { continue };
            if held.validity.lost(now).is_none() {
                held.expect(now);
                let limit = time_to_answer(now, held.validity.deadline(), self.longest);
                due.push((limit, self.request(name, held.ttl)));
            }
        }
        let next = schedule.held.next();
        let next = if schedule.held.is_due(now) { Some(now) } else { next };
        schedule.planned = next;
        drop(schedule);
        Plan { batches: batches(due, taken.hurries), next }
    }

    async fn send(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        self.store.renew(requests).await
    }

    fn settle(&self, batch: &Batch<RenewRequest>, answers: Answers<Renewal>) {
        let Answers { sent, are_late, answers } = answers;
        let now = Instant::now();
        let mut lost = Vec::new();
        let mut schedule = self.schedule();
        // Leases that became due again since then were answered too early.
        let again = batch.hurries != schedule.held.hurries();
        for (request, answer) in batch.requests.iter().zip(answers) {
            let lease = &request.lease;
            let renewal = answer.as_ref().and_then(|answer| answer.as_ref().ok());
            self.meters.renewed(outcome(renewal.map(|answer| &answer.value)));
            match answer {
                Some(Ok(Timed { observed_at, value, .. })) => match value {
                    Renewal::Renewed { expires_at } => {
                        let lasts = ClockBound { sent, observed_at }.lasts(expires_at);
                        let due = schedule.note_renewed(lease, sent, lasts, again);
                        // A late answer: the lease is in flight again.
                        if let Some((due, slack)) = due.filter(|_| !are_late) {
                            schedule.held.set_due_again(lease, due, slack);
                        }
                    }
                    Renewal::Ended(end) => lost.push((lease, LossReason::Ended(end))),
                    Renewal::NotHeld => lost.push((lease, LossReason::NotHeld)),
                },
                failed => {
                    if let Some(Err(error)) = failed {
                        tracing::warn!(lock.key = %lease.key, %error, "a renewal failed");
                    }
                    if let Some(held) = schedule.held.get(lease) {
                        let pause = pause(now, held.validity.deadline());
                        let pause = if again { Duration::ZERO } else { pause };
                        schedule.held.set_due_again(lease, now + pause, pause / 4);
                    }
                }
            }
        }
        drop(schedule);
        for (lease, reason) in lost {
            self.lose(lease, reason);
        }
    }

    fn sooner(&self) -> &Notify {
        &self.sooner
    }

    fn latest(&self) -> Duration {
        // A renewal that was done lasts, however late its answer comes.
        self.longest
    }
}

/// When a lease is renewed that lasts `lasts` from `since` on, and by how much earlier at the most.
fn due(since: Instant, lasts: Option<Duration>) -> (Instant, Duration) {
    let lasts = lasts.unwrap_or(LOOK_AFTER * 3);
    (since + lasts / 3, lasts / 12)
}

/// Outcome of a renewal; `None` is without an answer.
const fn outcome(renewal: Option<&Renewal>) -> RenewalOutcome {
    match renewal {
        Some(Renewal::Renewed { .. }) => RenewalOutcome::Renewed,
        Some(Renewal::Ended(_)) => RenewalOutcome::Ended,
        Some(Renewal::NotHeld) => RenewalOutcome::NotHeld,
        None => RenewalOutcome::Failed,
    }
}

/// Time-out of a renewal, short enough to leave time for further attempts.
fn time_to_answer(now: Instant, deadline: Option<Instant>, longest: Duration) -> Duration {
    (left(now, deadline) / 3).min(longest).max(SHORTEST_PAUSE)
}

/// Delay before retrying a failed renewal: a quarter of the remaining time, so that the last
/// attempts come ever faster, and at most the back-off of a waiter.
fn pause(now: Instant, deadline: Option<Instant>) -> Duration {
    (left(now, deadline) / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

fn left(now: Instant, deadline: Option<Instant>) -> Duration {
    deadline.map_or(LOOK_AFTER, |deadline| deadline.saturating_duration_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outs_leave_time_for_further_attempts() {
        let now = Instant::now();
        let answer = |left| time_to_answer(now, Some(now + left), Duration::from_secs(5));
        assert_eq!(answer(Duration::from_secs(6)), Duration::from_secs(2));
        assert_eq!(answer(Duration::from_secs(60)), Duration::from_secs(5));
        assert_eq!(answer(Duration::ZERO), SHORTEST_PAUSE);
    }
}
