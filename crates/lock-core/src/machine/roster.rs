//! A set of things that end by themselves, found by request and by who ends first.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;

use crate::{RequestId, Timestamp};

/// A thing of one request that ends at some time.
pub(super) trait Ends {
    fn request(&self) -> RequestId;
    /// When it ends; `None` is never.
    fn ends_at(&self) -> Option<Timestamp>;
}

/// A set of things that end by themselves.
///
/// One thing, by far the most frequent case, needs no memory beside itself. Every operation on
/// `n` things takes O(log n).
#[derive(Clone, Debug, Default)]
pub(super) enum Roster<T> {
    #[default]
    Empty,
    One(T),
    Many(Box<Many<T>>),
}

#[derive(Clone, Debug)]
pub(super) struct Many<T> {
    /// Boxed, so that a large table is small enough for the caches.
    by_request: HashMap<RequestId, Box<T>, RandomState>,
    by_end: BTreeSet<(Timestamp, RequestId)>,
}

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self { by_request: HashMap::default(), by_end: BTreeSet::new() }
    }
}

/// The place of a thing in the order of ends.
fn end<T: Ends>(thing: &T) -> (Timestamp, RequestId) {
    (thing.ends_at().unwrap_or(Timestamp::from_micros(u64::MAX)), thing.request())
}

impl<T: Ends> Roster<T> {
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
            Self::Many(many) => many.by_request.get(&request).map(Box::as_ref),
        }
    }

    /// The thing that ends first; of several, that of the lowest request.
    pub(super) fn first_to_end(&self) -> Option<&T> {
        match self {
            Self::Empty => None,
            Self::One(thing) => Some(thing),
            Self::Many(many) => many.first_to_end(),
        }
    }

    /// All things, the first to end first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Self::Empty => (None, None),
            Self::One(thing) => (Some(thing), None),
            Self::Many(many) => (None, Some(many)),
        };
        let many = many.into_iter().flat_map(|many| {
            many.by_end
                .iter()
                .filter_map(|(_, request)| many.by_request.get(request))
                .map(Box::as_ref)
        });
        one.into_iter().chain(many)
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

    /// Takes a thing out after a look at it, without moving it; `false` when there is none.
    #[inline]
    pub(super) fn end(&mut self, request: RequestId, look: impl FnOnce(&T)) -> bool {
        let Some(thing) = self.get(request) else { return false };
        look(thing);
        match self {
            Self::Many(_) => drop(self.remove(request)),
            Self::Empty | Self::One(_) => *self = Self::Empty,
        }
        true
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
}

impl<T: Ends> Many<T> {
    fn first_to_end(&self) -> Option<&T> {
        let (_, request) = self.by_end.first()?;
        self.by_request.get(request).map(Box::as_ref)
    }

    fn insert(&mut self, thing: T) {
        self.by_end.insert(end(&thing));
        self.by_request.insert(thing.request(), Box::new(thing));
    }

    fn remove(&mut self, request: RequestId) -> Option<T> {
        let thing = self.by_request.remove(&request)?;
        self.by_end.remove(&end(&*thing));
        Some(*thing)
    }

    fn update(&mut self, request: RequestId, change: impl FnOnce(&mut T)) -> Option<&T> {
        let thing = self.by_request.get_mut(&request)?.as_mut();
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
