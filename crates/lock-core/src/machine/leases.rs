//! The leases of a key, in the order in which they end and in the order in which they were granted.

use std::collections::BTreeSet;
use std::ops::{Bound, Deref};

use super::LeaseRecord;
use super::expiry_set::ExpirySet;
use crate::{FencingToken, RequestId, Timestamp};

/// The leases of a key. A lease that is alone, by far the most frequent case, is in no order.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases {
    held: ExpirySet<LeaseRecord>,
    /// The leases that share the key in the order of their tokens, which a renewal does not change.
    #[expect(clippy::box_collection, reason = "a key with one lease pays a pointer for it")]
    by_token: Option<Box<BTreeSet<Turn>>>,
}

/// The place of a lease in the order of tokens.
type Turn = (FencingToken, RequestId);

fn turn(record: &LeaseRecord) -> Turn {
    (record.lease.token, record.lease.request)
}

impl Deref for Leases {
    type Target = ExpirySet<LeaseRecord>;

    fn deref(&self) -> &Self::Target {
        &self.held
    }
}

impl Leases {
    /// Adds a lease whose request has none yet.
    #[inline]
    pub(super) fn insert(&mut self, record: LeaseRecord) {
        match &mut self.held {
            empty @ ExpirySet::Empty => *empty = ExpirySet::One(record),
            ExpirySet::One(_) | ExpirySet::Many(_) => self.insert_beside(record),
        }
    }

    /// Adds a lease beside others, which brings all into the order of their tokens.
    #[inline(never)]
    fn insert_beside(&mut self, record: LeaseRecord) {
        let held = &self.held;
        let by_token =
            self.by_token.get_or_insert_with(|| Box::new(held.iter().map(turn).collect()));
        by_token.insert(turn(&record));
        self.held.insert(record);
    }

    /// Takes a lease out after a look at it, without moving it; `false` when there is none.
    #[inline]
    pub(super) fn end(&mut self, request: RequestId, look: impl FnOnce(&LeaseRecord)) -> bool {
        let Some(record) = self.held.get(request) else { return false };
        look(record);
        match &self.held {
            ExpirySet::Many(_) => drop(self.remove(request)),
            ExpirySet::Empty | ExpirySet::One(_) => self.held = ExpirySet::Empty,
        }
        true
    }

    pub(super) fn remove(&mut self, request: RequestId) -> Option<LeaseRecord> {
        let record = self.held.remove(request)?;
        if let Some(by_token) = &mut self.by_token {
            by_token.remove(&turn(&record));
            if by_token.is_empty() {
                self.by_token = None;
            }
        }
        Some(record)
    }

    /// Changes a lease, its end included but neither its request nor its token; `None` when there
    /// is none.
    pub(super) fn update(
        &mut self,
        request: RequestId,
        change: impl FnOnce(&mut LeaseRecord),
    ) -> Option<&LeaseRecord> {
        self.held.update(request, change)
    }

    /// Changes a lease that is alive at the time `now`; `None` when there is none.
    pub(super) fn update_alive(
        &mut self,
        request: RequestId,
        now: Timestamp,
        change: impl FnOnce(&mut LeaseRecord),
    ) -> Option<&LeaseRecord> {
        self.held.update_alive(request, now, change)
    }

    /// The leases with a higher token than `after`, or all, the lowest token first.
    pub(super) fn iter_after(
        &self,
        after: Option<FencingToken>,
    ) -> impl Iterator<Item = &LeaseRecord> {
        let one = match &self.held {
            ExpirySet::One(record) => Some(record),
            ExpirySet::Empty | ExpirySet::Many(_) => None,
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
impl From<ExpirySet<LeaseRecord>> for Leases {
    fn from(held: ExpirySet<LeaseRecord>) -> Self {
        let is_shared = matches!(held, ExpirySet::Many(_));
        let by_token = is_shared.then(|| Box::new(held.iter().map(turn).collect()));
        Self { held, by_token }
    }
}
