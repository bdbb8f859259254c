//! Which leases to renew when: pure, the task around it is [`renewal`](super::renewal).

use std::collections::HashMap;
use std::collections::hash_map::Entry::Occupied;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::hold::{Hold, LossReason, deadline};
use crate::{LeaseName, RenewRequest};

/// How often a lease that never ends is renewed, only to learn of its eviction.
const LOOK_AFTER: Duration = Duration::from_secs(10);
/// The most leases that one command renews: 10,000 take 40 commands.
const BATCH: usize = 250;
/// The shortest pause before a renewal that failed is repeated, and the shortest time for an answer.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// Which leases to renew when.
///
/// A renewal is due when a third of the time is over that the lease lasts. What falls due a
/// twelfth of that time later goes into the same batch, so that many leases make few rounds.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    held: HashMap<LeaseName, Entry, RandomState>,
    /// When the task next looks, as far as it knows.
    next: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    renewal: RenewRequest,
    hold: Arc<Hold>,
    /// When it is due; `None` when it was lost. While a renewal is under way, this is when it is
    /// given up, in case that not even its failure is told.
    due: Option<Instant>,
    /// By how much it may be renewed early to share a batch.
    slack: Duration,
}

/// What to do now, and when to look again.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) renew: Vec<Batch>,
    pub(super) next: Option<Instant>,
}

/// Renewals for one command, which is given this time for its answer.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) renewals: Vec<RenewRequest>,
    pub(super) limit: Duration,
}

/// What became of one renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The lease lasts this long from the sending on; `None` is for ever.
    Renewed(Option<Duration>),
    Lost(LossReason),
    Failed,
}

impl Schedule {
    /// Adds a lease that lasts `lasts` from `since` on; `true` asks for the task to be woken.
    pub(super) fn insert(
        &mut self,
        renewal: RenewRequest,
        hold: Arc<Hold>,
        since: Instant,
        lasts: Option<Duration>,
    ) -> bool {
        let lasts = lasts.unwrap_or(LOOK_AFTER * 3);
        let due = since + lasts / 3;
        let slack = lasts / 12;
        let name = renewal.lease.clone();
        let entry = Entry { renewal, hold, due: Some(due), slack };
        // One lease has one guard in charge of it: the last.
        if let Some(earlier) = self.held.insert(name, entry) {
            earlier.hold.lose(LossReason::Adopted);
        }
        let is_sooner = self.next.is_none_or(|next| due < next);
        if is_sooner {
            self.next = Some(due);
        }
        is_sooner
    }

    /// Forgets a lease: it is never renewed again. `false` when this guard is not in charge of it.
    pub(super) fn remove(&mut self, lease: &LeaseName, hold: &Arc<Hold>) -> bool {
        match self.held.entry(lease.clone()) {
            Occupied(entry) if Arc::ptr_eq(&entry.get().hold, hold) => {
                entry.remove();
                true
            }
            _ => false,
        }
    }

    /// What guard and renewal share of the lease.
    pub(super) fn hold(&self, lease: &LeaseName) -> Option<&Arc<Hold>> {
        self.held.get(lease).map(|entry| &entry.hold)
    }

    /// Makes everything due that is not lost.
    pub(super) fn renew_all(&mut self, now: Instant) {
        for entry in self.held.values_mut().filter(|entry| entry.due.is_some()) {
            entry.due = Some(now);
        }
    }

    /// Takes out what is due at the time `now`, each with at most `longest` for its answer.
    pub(super) fn plan(&mut self, now: Instant, longest: Duration) -> Plan {
        let mut due_now = Vec::new();
        let mut next: Option<Instant> = None;
        let is_due = self.held.values().any(|entry| entry.due.is_some_and(|due| due <= now));
        for entry in self.held.values_mut() {
            let Some(due) = entry.due else { continue };
            if entry.hold.lost(now).is_some() {
                entry.due = None;
                continue;
            }
            let look = if is_due && due <= now + entry.slack {
                let limit = time_to_answer(now, entry.hold.deadline(), longest);
                due_now.push((limit, entry.renewal.clone()));
                now + limit * 2
            } else {
                due
            };
            entry.due = Some(look);
            next = Some(next.map_or(look, |next| next.min(look)));
        }
        self.next = next;
        Plan { renew: batches(due_now), next }
    }

    /// Notes what became of a renewal that was sent at `sent` and answered at `now`.
    pub(super) fn settle(
        &mut self,
        lease: &LeaseName,
        outcome: Outcome,
        sent: Instant,
        now: Instant,
    ) {
        let Some(entry) = self.held.get_mut(lease) else { return };
        match outcome {
            Outcome::Renewed(lasts) => {
                entry.hold.extend(now, lasts.map(|lasts| deadline(sent, lasts)));
                let lasts = lasts.unwrap_or(LOOK_AFTER * 3);
                entry.due = Some(sent + lasts / 3);
                entry.slack = lasts / 12;
            }
            Outcome::Lost(reason) => entry.hold.lose(reason),
            Outcome::Failed => entry.due = Some(retry_at(now, entry.hold.deadline())),
        }
    }
}

/// How long to wait for the answer to a renewal: so short that there is time for others after it.
fn time_to_answer(now: Instant, deadline: Option<Instant>, longest: Duration) -> Duration {
    let left = deadline.map_or(LOOK_AFTER, |deadline| deadline.saturating_duration_since(now));
    (left / 3).min(longest).max(SHORTEST_PAUSE)
}

/// Puts renewals together that can wait about as long for their answer, the most urgent first.
fn batches(mut due: Vec<(Duration, RenewRequest)>) -> Vec<Batch> {
    due.sort_by_key(|(limit, _)| *limit);
    let mut batches: Vec<Batch> = Vec::new();
    for (limit, renewal) in due {
        match batches.last_mut() {
            Some(batch) if batch.renewals.len() < BATCH && limit <= batch.limit * 2 => {
                batch.renewals.push(renewal);
            }
            _ => batches.push(Batch { renewals: vec![renewal], limit }),
        }
    }
    batches
}

/// When to repeat a renewal that failed: after a quarter of the time that is left, so that the last
/// tries come ever faster.
fn retry_at(now: Instant, deadline: Option<Instant>) -> Instant {
    let left = deadline.map_or(LOOK_AFTER, |deadline| deadline.saturating_duration_since(now));
    now + (left / 4).max(SHORTEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FencingToken, LockKey, RequestId, Ttl};

    fn due(millis: u64, count: usize) -> Vec<(Duration, RenewRequest)> {
        let (key, token) = (LockKey::parse("key").unwrap(), FencingToken::new(1).unwrap());
        let lease = LeaseName::new(key, RequestId::from_bits(7), token);
        let renewal = RenewRequest::new(lease, Ttl::default());
        vec![(Duration::from_millis(millis), renewal); count]
    }

    fn shape(due: Vec<(Duration, RenewRequest)>) -> Vec<(u64, usize)> {
        let shape = |batch: Batch| (batch.limit.as_millis() as u64, batch.renewals.len());
        batches(due).into_iter().map(shape).collect()
    }

    #[test]
    fn urgent_renewals_have_batches_of_their_own() {
        let mixed = [due(1500, 2), due(5, 3), due(1000, 1), due(9, 1)].concat();
        assert_eq!(shape(mixed), [(5, 4), (1000, 3)]);
    }

    #[test]
    fn batches_are_full_and_no_fuller() {
        assert_eq!(shape(due(1000, 2 * BATCH + 1)), [(1000, BATCH), (1000, BATCH), (1000, 1)]);
        assert_eq!(shape(Vec::new()), []);
    }

    #[test]
    fn answers_are_waited_for_so_long_that_there_is_time_for_others() {
        let now = Instant::now();
        let answer = |left| time_to_answer(now, Some(now + left), Duration::from_secs(5));
        assert_eq!(answer(Duration::from_secs(6)), Duration::from_secs(2));
        assert_eq!(answer(Duration::from_secs(60)), Duration::from_secs(5));
        assert_eq!(answer(Duration::ZERO), SHORTEST_PAUSE);
    }
}
