//! The leases of a key, in the order in which they end and in the order in which they were granted.

use std::collections::BTreeSet;
use std::ops::{Bound, Deref};

use super::Holding;
use super::roster::Roster;
use crate::{FencingToken, RequestId, Timestamp};

/// The leases of a key. A lease that is alone, by far the most frequent case, is in no order.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases {
    held: Roster<Holding>,
    /// The leases that share the key in the order of their tokens, which a renewal does not change.
    #[expect(clippy::box_collection, reason = "a key with one lease pays a pointer for it")]
    by_token: Option<Box<BTreeSet<Turn>>>,
}

/// The place of a lease in the order of tokens.
type Turn = (FencingToken, RequestId);

fn turn(holding: &Holding) -> Turn {
    (holding.lease.token, holding.lease.request)
}

impl Deref for Leases {
    type Target = Roster<Holding>;

    fn deref(&self) -> &Self::Target {
        &self.held
    }
}

impl Leases {
    /// Adds a lease whose request has none yet.
    #[inline]
    pub(super) fn insert(&mut self, holding: Holding) {
        match &mut self.held {
            empty @ Roster::Empty => *empty = Roster::One(holding),
            Roster::One(_) | Roster::Many(_) => self.insert_beside(holding),
        }
    }

    /// Adds a lease beside others, which brings all into the order of their tokens.
    #[inline(never)]
    fn insert_beside(&mut self, holding: Holding) {
        let held = &self.held;
        let by_token =
            self.by_token.get_or_insert_with(|| Box::new(held.iter().map(turn).collect()));
        by_token.insert(turn(&holding));
        self.held.insert(holding);
    }

    /// Takes a lease out after a look at it, without moving it; `false` when there is none.
    #[inline]
    pub(super) fn end(&mut self, request: RequestId, look: impl FnOnce(&Holding)) -> bool {
        let Some(holding) = self.held.get(request) else { return false };
        look(holding);
        match &self.held {
            Roster::Many(_) => drop(self.remove(request)),
            Roster::Empty | Roster::One(_) => self.held = Roster::Empty,
        }
        true
    }

    pub(super) fn remove(&mut self, request: RequestId) -> Option<Holding> {
        let holding = self.held.remove(request)?;
        if let Some(by_token) = &mut self.by_token {
            by_token.remove(&turn(&holding));
            if by_token.is_empty() {
                self.by_token = None;
            }
        }
        Some(holding)
    }

    /// Changes a lease, its end included but neither its request nor its token; `None` when there
    /// is none.
    pub(super) fn update(
        &mut self,
        request: RequestId,
        change: impl FnOnce(&mut Holding),
    ) -> Option<&Holding> {
        self.held.update(request, change)
    }

    /// Changes a lease that is alive at the time `now`; `None` when there is none.
    pub(super) fn update_alive(
        &mut self,
        request: RequestId,
        now: Timestamp,
        change: impl FnOnce(&mut Holding),
    ) -> Option<&Holding> {
        self.held.update_alive(request, now, change)
    }

    /// The leases with a higher token than `after`, or all, the lowest token first.
    pub(super) fn iter_after(&self, after: Option<FencingToken>) -> impl Iterator<Item = &Holding> {
        let one = match &self.held {
            Roster::One(holding) => Some(holding),
            Roster::Empty | Roster::Many(_) => None,
        };
        let one = one.filter(move |one| after.is_none_or(|after| one.lease.token > after));
        let behind = after.map_or(Bound::Unbounded, |after| {
            Bound::Excluded((after, RequestId::from_bits(u128::MAX)))
        });
        let many = self.by_token.iter().flat_map(move |by_token| {
            let turns = by_token.range((behind, Bound::Unbounded));
            turns.filter_map(move |(_, request)| self.held.get(*request))
        });
        one.into_iter().chain(many)
    }
}

#[cfg(feature = "serde")]
impl From<Roster<Holding>> for Leases {
    fn from(held: Roster<Holding>) -> Self {
        let is_shared = matches!(held, Roster::Many(_));
        let by_token = is_shared.then(|| Box::new(held.iter().map(turn).collect()));
        Self { held, by_token }
    }
}
