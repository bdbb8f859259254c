//! What a client knows of when its lease can have begun: pure, so that late and lost messages can
//! be thought through without a network.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Lease, Place, Timestamp};

/// What the commands of one request and their answers tell of when a grant can have happened.
///
/// A store counts a lease from when a command arrived, which is not before the client sent it. So a
/// lease that the client counts from the sending is over for the client before it is for the store.
/// The work is to find which command it was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    /// When the first command was sent that was not answered yet.
    unanswered: Option<Instant>,
    /// The last answer that told of a place in the queue: any later grant came after it.
    queued: Option<Queued>,
}

#[derive(Clone, Copy, Debug)]
struct Queued {
    /// When the command was sent.
    sent: Instant,
    /// When the store answered it, on its own clock.
    observed_at: Timestamp,
}

impl Evidence {
    /// A command is sent.
    pub(super) fn send(&mut self, now: Instant) {
        self.unanswered.get_or_insert(now);
    }

    /// The command that was sent at `sent` was answered by a place in the queue.
    pub(super) fn queue(&mut self, sent: Instant, place: &Place) {
        self.unanswered = None;
        self.queued = Some(Queued { sent, observed_at: place.observed_at });
    }

    /// The command that was sent at `sent` certainly did not happen; earlier ones may have.
    pub(super) fn refuse(&mut self, sent: Instant) {
        if self.unanswered == Some(sent) {
            self.unanswered = None;
        }
    }

    /// Nothing of the request is left in the store.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether the store may have something of the request.
    pub(super) const fn is_anything(&self) -> bool {
        self.unanswered.is_some() || self.queued.is_some()
    }

    /// Whether a command may have happened, or may yet arrive, that was never answered.
    pub(super) const fn is_unanswered(&self) -> bool {
        self.unanswered.is_some()
    }

    /// Since when at the latest a lease of full length is counted that came as an answer: it began
    /// when one of the commands arrived that were sent since the last answer.
    pub(super) fn since_of_answer(&self) -> Instant {
        self.unanswered.unwrap_or_else(Instant::now)
    }

    /// Since when and for how long a lease lasts at the least that came as news, if it can be used.
    ///
    /// News may be late, and even of a grant that is long over. Only a lease that was granted after
    /// the last answer, by the store's clock, is the present one, and lasts the claim window from
    /// when that answer was asked for. If half of the window is over, it is better to ask again.
    pub(super) fn since_of_news(
        &self,
        lease: &Lease,
        keep_alive: Duration,
        now: Instant,
    ) -> Option<(Instant, Duration)> {
        let queued = self.queued?;
        let told = lease.expires_at?.since(lease.granted_at);
        let window = lease.ttl.span().map_or(keep_alive, |ttl| ttl.min(keep_alive)).min(told);
        let is_present = lease.granted_at >= queued.observed_at;
        let is_fresh = now.saturating_duration_since(queued.sent) < window / 2;
        (is_present && is_fresh).then_some((queued.sent, window))
    }

    /// How much is left of the place in the queue that the store told of last.
    pub(super) fn place_lasts(&self, keep_alive: Duration, now: Instant) -> Duration {
        self.queued.map_or(Duration::ZERO, |queued| {
            keep_alive.saturating_sub(now.saturating_duration_since(queued.sent))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AcquireRequest, FencingToken, LockKey, OwnerId, RequestId, Ttl};

    const KEEP_ALIVE: Duration = Duration::from_secs(10);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_micros((1_000 + secs) * 1_000_000)
    }

    /// A lease that was handed to a waiter at this second of the store's clock.
    fn news(granted: u64, ttl: Ttl) -> Lease {
        let (key, owner) = (LockKey::parse("key").unwrap(), OwnerId::parse("alice").unwrap());
        let asked = AcquireRequest::new(RequestId::from_bits(7), key, owner).with_ttl(ttl);
        let token = FencingToken::new(42).unwrap();
        let window = ttl.span().map_or(KEEP_ALIVE, |ttl| ttl.min(KEEP_ALIVE));
        Lease::granted(&asked, token, at(granted)).with_expires_at(Some(at(granted).after(window)))
    }

    fn queued(start: Instant, observed: u64) -> Evidence {
        let mut evidence = Evidence::default();
        evidence.send(start);
        evidence.queue(start, &Place::new(1, 1, at(observed)));
        evidence
    }

    #[test]
    fn answer_counts_from_the_first_command_that_was_not_answered() {
        let start = Instant::now();
        let (second, third) = (start + KEEP_ALIVE, start + KEEP_ALIVE * 2);
        let mut evidence = queued(start, 0);
        evidence.send(second);
        evidence.send(third);
        assert_eq!(evidence.since_of_answer(), second);
        evidence.refuse(third);
        assert_eq!(evidence.since_of_answer(), second, "only the third did not happen");
        evidence.refuse(second);
        assert!(!evidence.is_unanswered());
        assert!(evidence.is_anything(), "the place is left");
    }

    #[test]
    fn fresh_news_counts_from_the_last_answer() {
        let start = Instant::now();
        let now = start + Duration::from_secs(4);
        let told = queued(start, 0).since_of_news(&news(3, Ttl::default()), KEEP_ALIVE, now);
        assert_eq!(told, Some((start, KEEP_ALIVE)));
    }

    #[test]
    fn late_news_is_not_used() {
        let start = Instant::now();
        let now = start + Duration::from_secs(5);
        let told = queued(start, 0).since_of_news(&news(0, Ttl::default()), KEEP_ALIVE, now);
        assert_eq!(told, None);
    }

    #[test]
    fn news_of_an_earlier_grant_is_not_used() {
        let start = Instant::now();
        let evidence = queued(start, 20);
        assert_eq!(evidence.since_of_news(&news(19, Ttl::default()), KEEP_ALIVE, start), None);
        assert!(evidence.since_of_news(&news(20, Ttl::default()), KEEP_ALIVE, start).is_some());
    }

    #[test]
    fn window_is_the_shortest_that_anybody_knows_of() {
        let start = Instant::now();
        let short = Ttl::parse(Duration::from_secs(2)).unwrap();
        let span = |lease: &Lease, keep_alive| {
            queued(start, 0).since_of_news(lease, keep_alive, start).map(|(_, span)| span)
        };
        assert_eq!(span(&news(1, short), KEEP_ALIVE), Some(Duration::from_secs(2)));
        assert_eq!(span(&news(1, Ttl::Never), KEEP_ALIVE), Some(KEEP_ALIVE));
        assert_eq!(span(&news(1, Ttl::Never), KEEP_ALIVE * 6), Some(KEEP_ALIVE));
        assert_eq!(span(&news(1, Ttl::Never), KEEP_ALIVE / 10), Some(KEEP_ALIVE / 10));
    }

    #[test]
    fn place_lasts_for_the_keep_alive_from_the_last_answer() {
        let start = Instant::now();
        let evidence = queued(start, 0);
        assert_eq!(evidence.place_lasts(KEEP_ALIVE, start), KEEP_ALIVE);
        assert_eq!(evidence.place_lasts(KEEP_ALIVE, start + KEEP_ALIVE * 2), Duration::ZERO);
        assert_eq!(Evidence::default().place_lasts(KEEP_ALIVE, start), Duration::ZERO);
    }
}
