//! Queries to an inspector, and the pages of its answers.

use std::num::NonZeroU32;

use crate::{Lease, LockKey, OwnerId, SessionId, Waiter};

/// The number of leases or waiters on a page unless asked otherwise: 100.
const DEFAULT_LIMIT: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");

/// Declares a text that only the store that wrote it understands.
macro_rules! cursor {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(transparent))]
        pub struct $name(String);

        impl $name {
            /// Wraps a text written by the store.
            #[must_use]
            pub const fn new(text: String) -> Self {
                Self(text)
            }

            /// The text written by the store.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

cursor! {
    /// End of a page.
    Cursor
}

cursor! {
    /// Position of an event in the journal of a store.
    EventCursor
}

/// Declares the paging of a query.
macro_rules! paged {
    ($query:ident) => {
        impl $query {
            /// Sets the page size.
            #[must_use]
            pub fn with_limit(self, limit: NonZeroU32) -> Self {
                Self { limit, ..self }
            }

            /// The page that follows.
            #[must_use]
            pub fn after(self, cursor: Cursor) -> Self {
                Self { cursor: Some(cursor), ..self }
            }
        }
    };
}

paged!(InspectQuery);
paged!(ListQuery);
paged!(WaitsQuery);

/// Inspection of a key and a page of its waiters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InspectQuery {
    /// The key.
    pub key: LockKey,
    /// Maximum number of leases and of waiters to show, up to [`MAX_LIMIT`](Self::MAX_LIMIT).
    pub limit: NonZeroU32,
    /// End of the previous page of waiters; `None` for the first page.
    pub cursor: Option<Cursor>,
}

impl InspectQuery {
    /// The highest limit that has an effect: 1,000.
    pub const MAX_LIMIT: u32 = 1000;

    /// Shows `key`, with at most 100 leases and 100 waiters.
    #[must_use]
    pub const fn new(key: LockKey) -> Self {
        Self { key, limit: DEFAULT_LIMIT, cursor: None }
    }

    /// The number of leases and of waiters to show.
    #[must_use]
    pub fn shown(&self) -> usize {
        self.limit.get().min(Self::MAX_LIMIT) as usize
    }
}

/// The leases and the waiters of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Inspection {
    /// The key.
    pub key: LockKey,
    /// The leases that are alive, the first to end first, up to the limit of the query.
    pub leases: Vec<Lease>,
    /// The number of leases that are alive.
    pub holders: u64,
    /// One page of the waiters that are alive, the head first.
    pub waiters: Page<Waiter>,
    /// The number of waiters. Dead waiters count until they are
    /// [dropped](crate::machine::SWEEP_LIMIT).
    pub waiting: u64,
}

impl Inspection {
    /// Inspection of a free key.
    #[must_use]
    pub const fn free(key: LockKey) -> Self {
        let waiters = Page::new(Vec::new(), None);
        Self { key, leases: Vec::new(), holders: 0, waiters, waiting: 0 }
    }

    /// The same key with these of its `holders` leases.
    #[must_use]
    pub fn with_leases(self, holders: u64, leases: Vec<Lease>) -> Self {
        Self { holders, leases, ..self }
    }

    /// The same key with these of its `waiting` waiters.
    #[must_use]
    pub fn with_waiters(self, waiting: u64, waiters: Page<Waiter>) -> Self {
        Self { waiting, waiters, ..self }
    }
}

/// Listing of the leases that match every condition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListQuery {
    /// Only keys that begin with this text; every key does with the empty text.
    pub prefix: String,
    /// Only leases of this owner.
    pub owner: Option<OwnerId>,
    /// Maximum number of leases per page.
    pub limit: NonZeroU32,
    /// End of the previous page; `None` for the first page.
    pub cursor: Option<Cursor>,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self { prefix: String::new(), owner: None, limit: Self::DEFAULT_LIMIT, cursor: None }
    }
}

impl ListQuery {
    /// The number of leases on a page unless asked otherwise: 100.
    pub const DEFAULT_LIMIT: NonZeroU32 = DEFAULT_LIMIT;

    /// Every lease.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Only keys that begin with `prefix`; no character of it is special.
    #[must_use]
    pub fn with_prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Only leases of `owner`.
    #[must_use]
    pub fn with_owner(self, owner: OwnerId) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// Returns `true` if the query accepts the lease.
    #[must_use]
    pub fn matches(&self, lease: &Lease) -> bool {
        lease.key.as_str().starts_with(&self.prefix)
            && self.owner.as_ref().is_none_or(|owner| lease.owner == *owner)
    }
}

/// Search for the waiters of an owner or session, with paging.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitsQuery {
    /// Owner or session.
    pub of: WaitsOf,
    /// Maximum number of waiters on one page.
    pub limit: NonZeroU32,
    /// End of the previous page; `None` for the first page.
    pub cursor: Option<Cursor>,
}

/// Owner or session of waiters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WaitsOf {
    /// Those of an owner.
    Owner(OwnerId),
    /// Those of a session.
    Session(SessionId),
}

impl WaitsQuery {
    /// The waiters of `of`, 100 on a page.
    #[must_use]
    pub fn new(of: impl Into<WaitsOf>) -> Self {
        Self { of: of.into(), limit: DEFAULT_LIMIT, cursor: None }
    }
}

impl WaitsOf {
    /// Returns `true` if the query accepts the waiter.
    #[must_use]
    pub fn matches(&self, waiter: &Waiter) -> bool {
        match self {
            Self::Owner(owner) => waiter.owner == *owner,
            Self::Session(session) => waiter.session == *session,
        }
    }
}

impl From<OwnerId> for WaitsOf {
    fn from(owner: OwnerId) -> Self {
        Self::Owner(owner)
    }
}

impl From<SessionId> for WaitsOf {
    fn from(session: SessionId) -> Self {
        Self::Session(session)
    }
}

/// One page of results.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Page<T> {
    /// The items, in the store's own order.
    pub items: Vec<T>,
    /// Start of the next page; `None` after the last.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// These items, and where the next page begins.
    #[must_use]
    pub const fn new(items: Vec<T>, next: Option<Cursor>) -> Self {
        Self { items, next }
    }
}
