//! Which request passed which, and why: from the order of arrival and the head starts.

use std::time::Duration;

use lock_core::{ChangeKind, HeadStart, Lease, Mode, OwnerId, Timestamp, Waiter};

use super::feed::Kept;

/// A waiter ahead of another one that came earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) owner: OwnerId,
    /// How much later it came.
    pub(super) later: Duration,
    pub(super) head_start: HeadStart,
}

/// The waiters of the queue that came after this one and stand before it. `ahead` is in the order of
/// the queue.
pub(super) fn passes(ahead: &[Waiter], waiter: &Waiter) -> Vec<Pass> {
    let came_later = ahead.iter().filter(|other| other.enqueued_at > waiter.enqueued_at);
    came_later
        .map(|other| Pass {
            owner: other.owner.clone(),
            later: other.enqueued_at.since(waiter.enqueued_at),
            head_start: other.head_start,
        })
        .collect()
}

/// How a holder was granted the key after a waiter had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It came earlier and stood before the waiter.
    CameEarlier,
    /// It came later, with this head start.
    HeadStart(HeadStart),
    /// It came later, was granted at once, and shares the key with others.
    SharedAtOnce,
    /// It came later and was granted at once.
    AtOnce,
    /// The lease was transferred to it.
    Transferred,
    /// The events that tell it are not kept.
    Unknown,
}

/// How this holder came before the waiter; `None` if it held before the waiter came.
pub(super) fn turn(lease: &Lease, waiter: &Waiter, kept: &Kept) -> Option<Turn> {
    if lease.granted_at <= waiter.enqueued_at {
        return None;
    }
    let of_lease = |kind| {
        let mut records = kept.records.iter().filter(move |record| record.kind == kind);
        records.find(|record| record.request == lease.request)
    };
    let is_receiver = |to: &Option<(OwnerId, _)>| {
        to.as_ref().is_some_and(|(_, request)| *request == lease.request)
    };
    if kept.records.iter().any(|record| is_receiver(&record.to)) {
        return Some(Turn::Transferred);
    }
    if let Some(queued) = of_lease(ChangeKind::Queued) {
        let head_start = queued.head_start.unwrap_or_default();
        return Some(match queued.at <= waiter.enqueued_at {
            true => Turn::CameEarlier,
            false => Turn::HeadStart(head_start),
        });
    }
    // Without an event that it was queued, it was granted at once if none is missing since then.
    let is_complete = kept.since.is_some_and(|since: Timestamp| since < waiter.enqueued_at);
    Some(match (is_complete && of_lease(ChangeKind::Granted).is_some(), lease.mode) {
        (true, Mode::Shared { .. }) => Turn::SharedAtOnce,
        (true, Mode::Exclusive | Mode::Upgrade { .. }) => Turn::AtOnce,
        (false, _) => Turn::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use lock_core::{AcquireRequest, FencingToken, LockKey, RequestId};

    use super::super::record::Record;
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn owner(name: &str) -> OwnerId {
        OwnerId::parse(name).unwrap()
    }

    fn key() -> LockKey {
        LockKey::parse("k").unwrap()
    }

    fn waiter(name: &str, at: u64, head_start: u64) -> Waiter {
        let at = Timestamp::from_micros(at * SECOND);
        let head_start = HeadStart::parse(Duration::from_secs(head_start)).unwrap();
        let request = RequestId::random();
        let waiter = Waiter::new(key(), owner(name), request, at, at);
        waiter.with_terms(Mode::Exclusive, head_start)
    }

    fn lease(name: &str, at: u64, mode: Mode) -> Lease {
        let now = Timestamp::from_micros(at * SECOND);
        let request = AcquireRequest::new(RequestId::random(), key(), owner(name)).with_mode(mode);
        Lease::granted(&request, FencingToken::MAX, now)
    }

    fn record(kind: ChangeKind, lease: &Lease, at: u64, head_start: u64) -> Record {
        Record {
            at: Timestamp::from_micros(at * SECOND),
            key: key(),
            kind,
            owner: lease.owner.clone(),
            request: lease.request,
            token: None,
            head_start: HeadStart::parse(Duration::from_secs(head_start)).ok(),
            to: None,
            ended: None,
        }
    }

    fn kept(since: u64, records: Vec<Record>) -> Kept {
        Kept { since: Some(Timestamp::from_micros(since * SECOND)), records }
    }

    #[test]
    fn waiter_is_passed_by_those_that_came_later() {
        let queue = [waiter("high", 30, 240), waiter("first", 10, 120), waiter("last", 40, 120)];
        let pass = Pass {
            owner: owner("high"),
            later: Duration::from_secs(20),
            head_start: queue[0].head_start,
        };
        assert_eq!(passes(&queue[..1], &queue[1]), [pass]);
        assert_eq!(passes(&queue[..2], &queue[2]), []);
    }

    #[test]
    fn reason_of_a_turn_is_told_from_the_events() {
        let (bob, alice) = (waiter("bob", 10, 0), lease("alice", 20, Mode::Exclusive));
        let turn = |lease: &Lease, records| turn(lease, &bob, &kept(5, records));
        let queued = |at, head_start| vec![record(ChangeKind::Queued, &alice, at, head_start)];
        assert_eq!(turn(&alice, queued(8, 0)), Some(Turn::CameEarlier));
        let head_start = HeadStart::parse(Duration::from_secs(60)).unwrap();
        assert_eq!(turn(&alice, queued(15, 60)), Some(Turn::HeadStart(head_start)));
        let granted = vec![record(ChangeKind::Granted, &alice, 20, 0)];
        assert_eq!(turn(&alice, granted), Some(Turn::AtOnce));
        let reader = lease("reader", 20, Mode::READER);
        let granted = vec![record(ChangeKind::Granted, &reader, 20, 0)];
        assert_eq!(turn(&reader, granted), Some(Turn::SharedAtOnce));
        let given = record(ChangeKind::Transferred, &reader, 20, 0);
        let given = Record { to: Some((owner("alice"), alice.request)), ..given };
        assert_eq!(turn(&alice, vec![given]), Some(Turn::Transferred));
    }

    #[test]
    fn reason_without_events_is_unknown() {
        let (bob, alice) = (waiter("bob", 10, 0), lease("alice", 20, Mode::Exclusive));
        assert_eq!(turn(&alice, &bob, &kept(5, Vec::new())), Some(Turn::Unknown));
        let granted = vec![record(ChangeKind::Granted, &alice, 20, 0)];
        assert_eq!(turn(&alice, &bob, &kept(15, granted)), Some(Turn::Unknown));
        assert_eq!(turn(&lease("alice", 5, Mode::Exclusive), &bob, &kept(0, Vec::new())), None);
    }
}
