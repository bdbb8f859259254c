//! The wait-for graph of sessions, and its knots.

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::deadlock::{Blocker, DeadlockMember};
use crate::{Inspection, Mode, RequestId, SessionId, Waiter};

/// A request that waits, and the sessions in its way.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    pub(super) waiter: Waiter,
    /// Sessions that all have to give way: holders and requests ahead that cannot share the key.
    pub(super) all: Vec<Blocker>,
    /// Sessions of which one has to give way: the holders of permits.
    pub(super) any: Vec<Blocker>,
}

/// The sessions that were read, and their waits. A session that is missing is not known to wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    waits: BTreeMap<SessionId, Vec<Wait>>,
}

impl Wait {
    /// The wait of a request, as an inspection of its key shows it; `None` if it does not wait there.
    ///
    /// Where the inspection does not show everything, fewer sessions are in the way than there are: a
    /// deadlock may be missed, and none is invented.
    pub(super) fn of(request: RequestId, seen: &Inspection) -> Option<Self> {
        let waiters = &seen.waiters.items;
        let place = waiters.iter().position(|waiter| waiter.request == request)?;
        let waiter = waiters[place].clone();
        let (mut all, mut any) = (Vec::new(), Vec::new());
        for lease in &seen.leases {
            let own = Mode::Upgrade { request: lease.request, token: lease.token };
            if waiter.mode == own {
                continue;
            }
            let (session, request, token) = (lease.session, lease.request, lease.token.get());
            let blocker = Blocker { session, request, token };
            if can_share(lease.mode, waiter.mode) { any.push(blocker) } else { all.push(blocker) }
        }
        let permits = match waiter.mode {
            Mode::Shared { limit: Some(limit) } => u64::from(limit.get()),
            _ => u64::MAX,
        };
        let shown = seen.leases.len() as u64;
        if (any.len() as u64) < permits || shown < seen.holders {
            any.clear();
        }
        for ahead in waiters[..place].iter().filter(|ahead| !can_share(ahead.mode, waiter.mode)) {
            all.push(Blocker { session: ahead.session, request: ahead.request, token: 0 });
        }
        all.sort();
        any.sort();
        Some(Self { waiter, all, any })
    }

    fn blockers(&self) -> impl Iterator<Item = &Blocker> {
        self.all.iter().chain(&self.any)
    }

    /// Returns `true` if it can end once all sessions for which `is_live` holds have gone on.
    fn can_end(&self, is_live: impl Fn(SessionId) -> bool) -> bool {
        self.all.iter().all(|blocker| is_live(blocker.session))
            && (self.any.is_empty() || self.any.iter().any(|blocker| is_live(blocker.session)))
    }
}

fn can_share(one: Mode, other: Mode) -> bool {
    one != Mode::Exclusive && one == other
}

impl Graph {
    pub(super) fn insert(&mut self, wait: Wait) {
        self.waits.entry(wait.waiter.session).or_default().push(wait);
    }

    /// The knot that a session is in: sessions that wait for one another, of which none can go on
    /// whatever all others do. In the order of the sessions; empty if it is in none.
    pub(super) fn knot(&self, session: SessionId) -> Vec<DeadlockMember> {
        let ring = self.ring(session);
        if ring.is_empty() || self.live_within(&ring).contains(&session) {
            return Vec::new();
        }
        let members = ring.iter().filter_map(|session| {
            // Of several waits of one session, the first one stands for it.
            let waits = self.waits.get(session)?;
            let wait =
                waits.iter().min_by_key(|wait| (wait.waiter.enqueued_at, wait.waiter.request))?;
            let is_in = |blocker: &&Blocker| ring.contains(&blocker.session);
            let waits_for = wait.blockers().filter(is_in).cloned().collect();
            Some(DeadlockMember::new(wait.waiter.clone(), waits_for))
        });
        members.collect()
    }

    /// The sessions that `session` waits for, directly or not, and that wait for it.
    fn ring(&self, session: SessionId) -> BTreeSet<SessionId> {
        let mut to = BTreeMap::<_, Vec<_>>::new();
        let mut from = BTreeMap::<_, Vec<_>>::new();
        for (waiting, waits) in &self.waits {
            for blocker in waits.iter().flat_map(Wait::blockers) {
                to.entry(*waiting).or_default().push(blocker.session);
                from.entry(blocker.session).or_default().push(*waiting);
            }
        }
        let (ahead, behind) = (reachable(session, &to), reachable(session, &from));
        ahead.intersection(&behind).copied().collect()
    }

    /// Those of these sessions that can go on if all others do.
    fn live_within(&self, ring: &BTreeSet<SessionId>) -> BTreeSet<SessionId> {
        let mut live = BTreeSet::new();
        loop {
            let is_live = |session: SessionId| !ring.contains(&session) || live.contains(&session);
            let next = ring.iter().find(|session| {
                let waits = self.waits.get(session).map_or(&[][..], Vec::as_slice);
                let can_go_on = waits.is_empty() || waits.iter().any(|wait| wait.can_end(is_live));
                !live.contains(*session) && can_go_on
            });
            match next {
                Some(session) => live.insert(*session),
                None => return live,
            };
        }
    }
}

/// What can be reached in at least one step.
fn reachable(start: SessionId, edges: &BTreeMap<SessionId, Vec<SessionId>>) -> BTreeSet<SessionId> {
    let mut found = BTreeSet::new();
    let mut open = vec![start];
    while let Some(session) = open.pop() {
        for next in edges.get(&session).into_iter().flatten() {
            if found.insert(*next) {
                open.push(*next);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LockKey, OwnerId, Timestamp};

    fn session(number: u8) -> SessionId {
        SessionId::from_bits(number.into())
    }

    fn blockers(sessions: &[u8]) -> Vec<Blocker> {
        let blocker = |number: &u8| {
            let request = RequestId::from_bits(u128::from(*number) + 100);
            Blocker { session: session(*number), request, token: u64::from(*number) }
        };
        sessions.iter().map(blocker).collect()
    }

    /// A graph of `(session, all, any)`.
    fn graph(waits: &[(u8, &[u8], &[u8])]) -> Graph {
        let mut graph = Graph::default();
        for (number, all, any) in waits {
            let (key, owner) = (LockKey::parse("key").unwrap(), OwnerId::parse("owner").unwrap());
            let request = RequestId::from_bits(u128::from(*number));
            let (from, until) = (Timestamp::from_micros(1), Timestamp::from_micros(2));
            let waiter =
                Waiter::new(key, owner, request, from, until).with_session(session(*number));
            graph.insert(Wait { waiter, all: blockers(all), any: blockers(any) });
        }
        graph
    }

    fn knot(waits: &[(u8, &[u8], &[u8])], of: u8) -> Vec<u128> {
        let knot = graph(waits).knot(session(of));
        knot.iter().map(|member| member.waiter.session.to_bits()).collect()
    }

    #[test]
    fn ring_is_a_knot_of_each_of_its_sessions() {
        let ring: &[(u8, &[u8], &[u8])] = &[(1, &[2], &[]), (2, &[3], &[]), (3, &[1], &[])];
        for of in 1..=3 {
            assert_eq!(knot(ring, of), [1, 2, 3]);
        }
        assert_eq!(knot(&[(1, &[1], &[])], 1), [1]);
        // One whose wait ends in a ring is not in it.
        assert_eq!(knot(&[(1, &[2], &[]), (2, &[3], &[]), (3, &[2], &[])], 1), []);
    }

    #[test]
    fn ring_with_a_way_out_is_no_knot() {
        // A session that does not wait, as one of the holders of a permit.
        assert_eq!(knot(&[(1, &[2], &[]), (2, &[], &[1, 9])], 1), []);
        assert_eq!(knot(&[(1, &[2], &[]), (2, &[], &[1, 3]), (3, &[1], &[])], 1), [1, 2, 3]);
        // A session with two waits goes on with either.
        assert_eq!(knot(&[(1, &[2], &[]), (2, &[1], &[]), (2, &[9], &[])], 1), []);
    }

    #[test]
    fn knot_that_ends_with_another_is_left_to_it() {
        // 2 needs a permit of 1 or of 3, and 3 waits in a ring with 4.
        let waits: &[(u8, &[u8], &[u8])] =
            &[(1, &[2], &[]), (2, &[], &[1, 3]), (3, &[4], &[]), (4, &[3], &[])];
        assert_eq!(knot(waits, 1), []);
        assert_eq!(knot(waits, 3), [3, 4]);
    }

    #[test]
    fn rings_with_a_common_session_are_one_knot() {
        let waits: &[(u8, &[u8], &[u8])] = &[(1, &[2, 3], &[]), (2, &[1], &[]), (3, &[1], &[])];
        assert_eq!(knot(waits, 2), [1, 2, 3]);
    }
}
