//! Bound of a lease for the client (rule 11 of [`machine`](crate::machine)). Pure, so that late and
//! lost messages can be tested without a network.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Grant, Lease, Timestamp};

/// Time of sending by the client's clock, and time of the answer by the store's clock.
///
/// The store's clock was at `observed_at` not before `sent`. So what ends at a point of the store's
/// clock ends for the client no later than the same span after `sent`, as long as the store's clock
/// does not run faster than the client's.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockBound {
    pub(super) sent: Instant,
    pub(super) observed_at: Timestamp,
}

impl ClockBound {
    /// Time after [`sent`](Self::sent) for which the client may rely on a lease that ends at
    /// `expires_at`.
    pub(super) fn lasts(&self, expires_at: Option<Timestamp>) -> Option<Duration> {
        expires_at.map(|end| end.since(self.observed_at))
    }

    /// Returns `true` if more than half of the lease had elapsed when the answer arrived.
    pub(super) fn is_stale(&self, lease: &Lease) -> bool {
        self.lasts(lease.expires_at).is_some_and(|lasts| self.sent.elapsed() > lasts / 2)
    }

    /// Start and duration of a lease that was announced by a notice after this answer; `None` if
    /// the request must be heard first, because the grant is older than the answer or less than
    /// half of the claim window remains.
    pub(super) fn validity_by_notice(
        &self,
        grant: &Grant,
        now: Instant,
    ) -> Option<(Instant, Option<Duration>)> {
        // The request waited at the time of the answer, so what was granted before is over.
        if grant.granted_at < self.observed_at {
            return None;
        }
        let since = self.sent + grant.granted_at.since(self.observed_at);
        let Some(window) = grant.expires_at.map(|end| end.since(grant.granted_at)) else {
            return Some((since, None));
        };
        let left = (since + window).saturating_duration_since(now);
        (left >= window / 2 && !left.is_zero()).then_some((since, Some(window)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FencingToken, LockKey, RequestId};

    const WINDOW: Duration = Duration::from_secs(10);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_micros((1_000 + secs) * 1_000_000)
    }

    fn grant(granted: u64) -> Grant {
        let (key, token) = (LockKey::parse("key").unwrap(), FencingToken::new(42).unwrap());
        let expires_at = Some(at(granted).after(WINDOW));
        Grant::new(key, RequestId::from_bits(7), token, at(granted)).with_expires_at(expires_at)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn answer_counts_from_the_sending() {
        let answered = ClockBound { sent: Instant::now(), observed_at: at(0) };
        assert_eq!(answered.lasts(Some(at(30))), Some(secs(30)));
        assert_eq!(answered.lasts(Some(at(0))), Some(Duration::ZERO));
        assert_eq!(answered.lasts(None), None);
    }

    #[test]
    fn notice_counts_from_the_last_answer() {
        let sent = Instant::now();
        let answered = ClockBound { sent, observed_at: at(0) };
        let lasts = answered.validity_by_notice(&grant(3), sent + secs(4));
        assert_eq!(lasts, Some((sent + secs(3), Some(WINDOW))));
    }

    #[test]
    fn late_notice_is_not_relied_on() {
        let sent = Instant::now();
        let answered = ClockBound { sent, observed_at: at(0) };
        assert!(answered.validity_by_notice(&grant(3), sent + secs(8)).is_some());
        assert_eq!(answered.validity_by_notice(&grant(3), sent + secs(9)), None);
    }

    #[test]
    fn notice_of_a_grant_before_the_answer_is_not_relied_on() {
        let sent = Instant::now();
        let answered = ClockBound { sent, observed_at: at(6) };
        assert_eq!(answered.validity_by_notice(&grant(5), sent), None);
        assert!(answered.validity_by_notice(&grant(6), sent).is_some());
    }
}
