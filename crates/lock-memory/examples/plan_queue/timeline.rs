//! Order of the queue, reconstructed from the events of the store.
//!
//! The events of a key come in the order in which they happened, and a waiter's rank is fixed when
//! it joins the queue: its arrival less its head start, ties by arrival. So who stands ahead of it
//! in that moment follows from the events before, whatever happens meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use lock_core::{Change, FencingToken, Lease, LockEvent, LockKey, RequestId, Timestamp, Waiter};

/// The holders and the queues of all keys, according to the events so far.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    keys: HashMap<LockKey, Line>,
    waited: usize,
    released: usize,
    longest: Option<(usize, LockKey)>,
}

/// One key: who holds it, and who waits for it, the next first.
#[derive(Debug, Default)]
struct Line {
    holders: Vec<RequestId>,
    queue: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    request: RequestId,
    since: Timestamp,
    /// Arrival less head start, in microseconds.
    rank: i128,
    standing: Standing,
}

/// A grant, and how it came to it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The granted request.
    pub(crate) request: RequestId,
    /// With which token.
    pub(crate) token: FencingToken,
    /// When, on the store's clock.
    pub(crate) at: Timestamp,
    /// Wait, by the store's clock.
    pub(crate) waited: Duration,
    /// Where it stood when it queued; `None` when it was granted at once.
    pub(crate) standing: Option<Standing>,
}

/// Requests ahead of a request when it queued, and those that overtook it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Holders of the key.
    pub(crate) holders: Vec<RequestId>,
    /// Requests ahead in the queue, the next first.
    pub(crate) ahead: Vec<RequestId>,
    /// Requests that queued later and were granted earlier.
    pub(crate) overtaken_by: Vec<RequestId>,
}

impl Timeline {
    /// Takes the next event; returns a grant with its history.
    pub(crate) fn note(&mut self, event: &LockEvent) -> Option<Grant> {
        let line = self.keys.entry(event.key().clone()).or_default();
        match &event.change {
            Change::Queued(waiter) => {
                line.join(waiter);
                self.waited += 1;
                let length = line.queue.len();
                if self.longest.as_ref().is_none_or(|(longest, _)| length > *longest) {
                    self.longest = Some((length, waiter.key.clone()));
                }
            }
            Change::Granted(lease) => return Some(line.grant(lease, event.at)),
            Change::Cancelled(waiter) | Change::Lapsed(waiter) => drop(line.leave(waiter.request)),
            Change::Released(lease) => {
                line.end(lease.request);
                self.released += 1;
            }
            Change::Expired(lease) | Change::Evicted { lease, .. } => line.end(lease.request),
            // A transfer, which does not occur here.
            _ => {}
        }
        None
    }

    /// Number of requests that waited.
    pub(crate) const fn waited(&self) -> usize {
        self.waited
    }

    /// Number of released leases.
    pub(crate) const fn released(&self) -> usize {
        self.released
    }

    /// The length of the longest queue and its key, if there was one.
    pub(crate) fn longest_queue(&self) -> Option<(usize, &LockKey)> {
        self.longest.as_ref().map(|(length, key)| (*length, key))
    }
}

impl Line {
    fn join(&mut self, waiter: &Waiter) {
        let head_start = waiter.head_start.span().as_micros();
        let rank = i128::from(waiter.enqueued_at.as_micros()) - head_start.cast_signed();
        // Behind everybody of equal rank: the events come in the order of arrival.
        let place = self.queue.partition_point(|other| other.rank <= rank);
        let standing = Standing {
            holders: self.holders.clone(),
            ahead: self.queue[..place].iter().map(|other| other.request).collect(),
            overtaken_by: Vec::new(),
        };
        let (request, since) = (waiter.request, waiter.enqueued_at);
        self.queue.insert(place, Waiting { request, since, rank, standing });
    }

    fn grant(&mut self, lease: &Lease, at: Timestamp) -> Grant {
        let (request, token) = (lease.request, lease.token);
        let waiting = self.leave(request);
        self.holders.push(request);
        for other in &mut self.queue {
            if !other.standing.ahead.contains(&request) {
                other.standing.overtaken_by.push(request);
            }
        }
        let waited = waiting.as_ref().map_or(Duration::ZERO, |it| at.since(it.since));
        Grant { request, token, at, waited, standing: waiting.map(|it| it.standing) }
    }

    fn leave(&mut self, request: RequestId) -> Option<Waiting> {
        let place = self.queue.iter().position(|waiting| waiting.request == request)?;
        Some(self.queue.remove(place))
    }

    fn end(&mut self, request: RequestId) {
        self.holders.retain(|holder| *holder != request);
    }
}

#[cfg(test)]
mod tests {
    use lock_core::{AcquireRequest, HeadStart, Mode, OwnerId};

    use super::*;

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn id(number: u8) -> RequestId {
        RequestId::from_bits(number.into())
    }

    fn lease(number: u8) -> Lease {
        let key = LockKey::parse("k").unwrap();
        let asked = AcquireRequest::new(id(number), key, OwnerId::parse("o").unwrap());
        Lease::granted(&asked, FencingToken::new(number.into()).unwrap(), at(0))
    }

    fn granted(now: u64, number: u8) -> LockEvent {
        LockEvent::new(at(now), Change::Granted(lease(number)))
    }

    fn released(now: u64, number: u8) -> LockEvent {
        LockEvent::new(at(now), Change::Released(lease(number)))
    }

    /// A request joins the queue, with a head start of so many milliseconds.
    fn queued(now: u64, number: u8, head_start: u64) -> LockEvent {
        let Lease { key, owner, request, .. } = lease(number);
        let head_start = HeadStart::parse(Duration::from_millis(head_start)).unwrap();
        let waiter = Waiter::new(key, owner, request, at(now), at(now + 1_000_000));
        let waiter = waiter.with_terms(Mode::Exclusive, head_start);
        LockEvent::new(at(now), Change::Queued(waiter))
    }

    fn ids<const N: usize>(numbers: [u8; N]) -> Vec<RequestId> {
        numbers.map(id).to_vec()
    }

    #[test]
    fn a_grant_at_once_has_no_standing() {
        let grant = Timeline::default().note(&granted(5, 1)).unwrap();
        assert_eq!((grant.request, grant.at, grant.waited), (id(1), at(5), Duration::ZERO));
        assert_eq!(grant.standing, None);
    }

    #[test]
    fn order_of_the_queue_follows_from_the_ranks() {
        let mut timeline = Timeline::default();
        timeline.note(&granted(1_000, 1));
        // Ranks: 2 at 2,000; 3 at 3,000 - 1,000 = 2,000, behind 2 by arrival; 4 at 2,900 - 1,000,
        // ahead of both; 5 at 2,000 again.
        timeline.note(&queued(2_000, 2, 0));
        timeline.note(&queued(3_000, 3, 1));
        timeline.note(&queued(2_900, 4, 1));
        timeline.note(&queued(3_000, 5, 1));
        assert_eq!(timeline.longest_queue().unwrap().0, 4);
        assert_eq!(timeline.waited(), 4);

        let mut next = |number| timeline.note(&granted(9_000, number)).unwrap().standing.unwrap();
        let standing = |ahead, overtaken_by| Standing { holders: ids([1]), ahead, overtaken_by };
        assert_eq!(next(4), standing(ids([]), ids([])));
        assert_eq!(next(2), standing(ids([]), ids([4])));
        assert_eq!(next(3), standing(ids([2]), ids([4])));
        assert_eq!(next(5), standing(ids([4, 2, 3]), ids([])));
    }

    #[test]
    fn the_holder_is_the_one_that_has_not_released_yet() {
        let mut timeline = Timeline::default();
        timeline.note(&granted(1, 1));
        timeline.note(&released(2, 1));
        timeline.note(&granted(3, 2));
        timeline.note(&queued(4, 3, 0));
        timeline.note(&released(9, 2));
        let grant = timeline.note(&granted(9, 3)).unwrap();
        assert_eq!(grant.waited, Duration::from_micros(5));
        assert_eq!(grant.standing.unwrap().holders, ids([2]));
        assert_eq!(timeline.released(), 2);
    }
}
