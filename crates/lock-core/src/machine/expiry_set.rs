//! Set of entries that expire, indexed by request and by expiry.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use indexset::BTreeSet;

use crate::{RequestId, Timestamp};

/// Maximum number of entries in a B-tree node.
const BLOCK: usize = 64;

/// Entry of one request, with an expiry.
pub(super) trait Expiring {
    fn request(&self) -> RequestId;
    /// Time of expiry; `None` if it does not expire.
    fn ends_at(&self) -> Option<Timestamp>;

    /// Returns `true` if it has expired at `now`.
    fn is_over(&self, now: Timestamp) -> bool {
        self.ends_at().is_some_and(|end| end <= now)
    }
}

/// Set of entries that expire.
///
/// A single entry, by far the most frequent case, needs no allocation. Operations on `n` entries
/// take O(log n).
#[derive(Clone, Debug, Default)]
pub(super) enum ExpirySet<T> {
    #[default]
    Empty,
    One(T),
    Many(Box<Many<T>>),
}

#[derive(Clone, Debug)]
pub(super) struct Many<T> {
    /// Boxed, so that a large table is small enough for the caches.
    by_request: HashTable<Box<T>>,
    hasher: RandomState,
    by_end: BTreeSet<(Timestamp, RequestId)>,
}

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self {
            by_request: HashTable::new(),
            hasher: RandomState::default(),
            by_end: BTreeSet::with_maximum_node_size(BLOCK),
        }
    }
}

/// Position of an entry in the order of expiry.
fn end<T: Expiring>(thing: &T) -> (Timestamp, RequestId) {
    (thing.ends_at().unwrap_or(Timestamp::from_micros(u64::MAX)), thing.request())
}

impl<T: Expiring> ExpirySet<T> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(_) => 1,
            Self::Many(many) => many.by_request.len(),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    pub(super) fn get(&self, request: RequestId) -> Option<&T> {
        match self {
            Self::One(thing) if thing.request() == request => Some(thing),
            Self::Empty | Self::One(_) => None,
            Self::Many(many) => many.get(request),
        }
    }

    /// The thing of the request, if it is alive at the time `now`.
    pub(super) fn get_alive(&self, request: RequestId, now: Timestamp) -> Option<&T> {
        self.get(request).filter(|thing| !thing.is_over(now))
    }

    /// The thing that ends first; of several, that of the lowest request.
    pub(super) fn first_to_end(&self) -> Option<&T> {
        match self {
            Self::Empty => None,
            Self::One(thing) => Some(thing),
            Self::Many(many) => many.thing(many.by_end.first()?),
        }
    }

    /// The thing that ends last; of several, that of the highest request.
    pub(super) fn last_to_end(&self) -> Option<&T> {
        match self {
            Self::Empty => None,
            Self::One(thing) => Some(thing),
            Self::Many(many) => many.thing(many.by_end.last()?),
        }
    }

    /// Of the things that are alive at the time `now`, the one that ends first.
    pub(super) fn first_alive(&self, now: Timestamp) -> Option<&T> {
        match self {
            Self::Empty => None,
            Self::One(thing) => (!thing.is_over(now)).then_some(thing),
            Self::Many(many) => many.thing(many.by_end.get_index(many.count_over(now))?),
        }
    }

    /// The number of things that are alive at the time `now`.
    pub(super) fn count_alive(&self, now: Timestamp) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(thing) => usize::from(!thing.is_over(now)),
            Self::Many(many) => many.by_end.len() - many.count_over(now),
        }
    }

    /// The things that are alive at the time `now`, the first to end first.
    pub(super) fn iter_alive(&self, now: Timestamp) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Self::Empty => (None, None),
            Self::One(thing) => (Some(thing).filter(|thing| !thing.is_over(now)), None),
            Self::Many(many) => (None, Some(many)),
        };
        let many = many.into_iter().flat_map(move |many| {
            let alive = many.by_end.range_idx(many.count_over(now)..);
            alive.filter_map(|end| many.thing(end))
        });
        one.into_iter().chain(many)
    }

    /// All things, alive or not, the first to end first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        // Nothing is over at the beginning of time.
        self.iter_alive(Timestamp::default())
    }

    /// Adds a thing whose request has none yet.
    #[inline]
    pub(super) fn insert(&mut self, thing: T) {
        match self {
            Self::Empty => *self = Self::One(thing),
            Self::One(_) => {
                let mut many = Box::<Many<T>>::default();
                many.insert(thing);
                if let Self::One(first) = std::mem::take(self) {
                    many.insert(first);
                }
                *self = Self::Many(many);
            }
            Self::Many(many) => many.insert(thing),
        }
    }

    pub(super) fn remove(&mut self, request: RequestId) -> Option<T> {
        if let Self::Many(many) = self {
            let thing = many.remove(request);
            if many.by_request.is_empty() {
                *self = Self::Empty;
            }
            return thing;
        }
        self.get(request)?;
        match std::mem::take(self) {
            Self::One(thing) => Some(thing),
            Self::Empty | Self::Many(_) => None,
        }
    }

    /// Changes a thing, its end included but not its request; `None` when there is none.
    pub(super) fn update(&mut self, request: RequestId, change: impl FnOnce(&mut T)) -> Option<&T> {
        match self {
            Self::One(thing) if thing.request() == request => {
                change(thing);
                Some(thing)
            }
            Self::Empty | Self::One(_) => None,
            Self::Many(many) => many.update(request, change),
        }
    }

    /// Changes a thing that is alive at the time `now`; `None` when there is none.
    pub(super) fn update_alive(
        &mut self,
        request: RequestId,
        now: Timestamp,
        change: impl FnOnce(&mut T),
    ) -> Option<&T> {
        self.get_alive(request, now)?;
        self.update(request, change)
    }
}

impl<T: Expiring> Many<T> {
    fn thing(&self, (_, request): &(Timestamp, RequestId)) -> Option<&T> {
        self.get(*request)
    }

    fn get(&self, request: RequestId) -> Option<&T> {
        let hash = self.hasher.hash_one(request);
        self.by_request.find(hash, |thing| thing.request() == request).map(Box::as_ref)
    }

    /// The number of things that are over at the time `now`.
    fn count_over(&self, now: Timestamp) -> usize {
        // Nearly always nothing is: what is over is dropped by the next command.
        match self.by_end.first() {
            Some((end, _)) if *end <= now => {
                self.by_end.rank(&(now.just_after(), RequestId::from_bits(0)))
            }
            _ => 0,
        }
    }

    fn insert(&mut self, thing: T) {
        self.by_end.insert(end(&thing));
        let hash = self.hasher.hash_one(thing.request());
        self.by_request
            .insert_unique(hash, Box::new(thing), |thing| self.hasher.hash_one(thing.request()));
    }

    fn remove(&mut self, request: RequestId) -> Option<T> {
        let hash = self.hasher.hash_one(request);
        let found = self.by_request.find_entry(hash, |thing| thing.request() == request).ok()?;
        let (thing, _) = found.remove();
        self.by_end.remove(&end(&*thing));
        Some(*thing)
    }

    fn update(&mut self, request: RequestId, change: impl FnOnce(&mut T)) -> Option<&T> {
        let hash = self.hasher.hash_one(request);
        let thing = self.by_request.find_mut(hash, |thing| thing.request() == request)?.as_mut();
        let before = end(thing);
        change(thing);
        let after = end(thing);
        if before != after {
            self.by_end.remove(&before);
            self.by_end.insert(after);
        }
        Some(thing)
    }
}
