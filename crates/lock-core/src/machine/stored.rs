//! The form in which the state of a key is written out and read back.

use std::collections::HashSet;

use super::expiry_set::{Expiring, ExpirySet};
use super::mark::Mark;
use super::queue::{Queue, StoredQueue};
use super::{KeyState, LeaseRecord};

/// The version of the form that is written.
const VERSION: u32 = 1;

/// The state of a key as it is written out.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Stored {
    /// In front in every version: it is read first, and nothing after it when it is unknown.
    version: Version,
    leases: Vec<LeaseRecord>,
    queue: Option<StoredQueue>,
    marks: Vec<Mark>,
}

/// The version that is known.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Version;

/// A state that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the state has version {0}, but only {VERSION} is supported")]
    Version(u32),
    #[error("the state has two {0} of one request")]
    Twice(&'static str),
}

impl TryFrom<u32> for Version {
    type Error = Unreadable;
    fn try_from(version: u32) -> Result<Self, Unreadable> {
        (version == VERSION).then_some(Self).ok_or(Unreadable::Version(version))
    }
}

impl From<Version> for u32 {
    fn from(_: Version) -> Self {
        VERSION
    }
}

impl From<KeyState> for Stored {
    fn from(state: KeyState) -> Self {
        let marks = state.marks.iter().flat_map(|marks| marks.iter()).cloned().collect();
        let queue = state.queue.map(|queue| queue.to_stored());
        Self { version: Version, leases: state.leases.iter().cloned().collect(), queue, marks }
    }
}

impl TryFrom<Stored> for KeyState {
    type Error = Unreadable;
    fn try_from(stored: Stored) -> Result<Self, Unreadable> {
        let leases = expiry_set("leases", stored.leases)?.into();
        let marks = expiry_set("marks", stored.marks)?;
        let marks = (!marks.is_empty()).then(|| Box::new(marks));
        let queue = stored.queue.map(|stored| {
            let (waiters, arrivals) = stored.into_parts();
            Ok::<_, Unreadable>(Queue::from_parts(expiry_set("waiters", waiters)?, arrivals))
        });
        let queue = queue.transpose()?.filter(|queue| !queue.is_empty()).map(Box::new);
        Ok(Self { leases, queue, marks })
    }
}

fn expiry_set<T: Expiring>(what: &'static str, things: Vec<T>) -> Result<ExpirySet<T>, Unreadable> {
    let requests: HashSet<_> = things.iter().map(Expiring::request).collect();
    if requests.len() != things.len() {
        return Err(Unreadable::Twice(what));
    }
    let mut expiry_set = ExpirySet::Empty;
    for thing in things {
        expiry_set.insert(thing);
    }
    Ok(expiry_set)
}
