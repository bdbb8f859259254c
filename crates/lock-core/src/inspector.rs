//! What can be seen of a store: holders, waiters, events, health.

use std::fmt::{self, Debug};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_core::Stream;

use crate::{
    EventFilter, Lease, LockBackend, LockKey, OwnerId, Result, SessionId, Timed, Waiter, Watched,
};

/// What can be seen of a store.
///
/// [`LockManager`](crate::LockManager), operators' tools and deadlock detection call it; every
/// backend implements it beside [`LockBackend`]. Looking at a key first drops what is over, as
/// every command does, so that nothing dead is ever shown.
///
/// # Cancel safety
/// Every call may be dropped at any time.
///
/// # Contract
/// - Nothing dead is shown: no lease that is over, and no waiter that was silent for too long.
///   `inspection::the_dead_are_not_shown` `listing::over_leases_are_not_listed`
/// - Ages, and what is left of a lease, are differences of points of one reply, all of them on the
///   store's clock. `inspection::ages_are_counted_on_the_stores_clock`
/// - Metadata is shown as it was given, up to the largest that is allowed.
///   `metadata::metadata_is_kept` `metadata::largest_metadata_is_kept`
/// - Keys, owners and prefixes are compared as the bytes that they are.
///   `isolation::glob_characters_are_plain` `isolation::unicode_keys_are_exact`
///   `isolation::owners_are_exact`
#[async_trait]
pub trait LockInspector: Debug + Send + Sync + 'static {
    /// The leases and the waiters of a key, the waiters page by page.
    ///
    /// # Errors
    /// When the store did not answer, or not sensibly; when the cursor is not one of its own.
    ///
    /// # Contract
    /// - A key that nobody holds or waits for shows nothing. `inspection::free_key_shows_nothing`
    /// - Leases are shown as they were granted, the first to end first, those that never end last,
    ///   at most as many as the limit. `inspection::holders_are_shown`
    /// - Waiters are shown with what they asked for, the head first.
    ///   `inspection::waiters_are_shown_in_order`
    /// - Following the pages to the last shows every waiter once while nothing changes, and no page
    ///   shows more than the limit. `inspection::waiters_are_paged`
    /// - Holders and waiters are counted exactly. `inspection::queue_of_many_is_counted`
    /// - Looking grants what is due: the waiter after a lease that ran out is shown as the holder
    ///   that it now is. `inspection::inspection_grants_what_is_due`
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>>;

    /// The leases that are alive, page by page. A page may be short or empty while it names a next.
    ///
    /// # Errors
    /// When the store did not answer, or not sensibly; when the cursor is not one of its own.
    ///
    /// # Contract
    /// - Following the pages to the last lists every lease once while nothing changes, and no page
    ///   holds more than the limit. `listing::every_lease_is_listed_once`
    /// - Leases that share a key are listed each. `listing::shared_leases_are_listed_each`
    /// - Requests that wait are not listed. `listing::waiters_are_not_listed`
    /// - A lease that is held from the first page to the last is listed, whatever is granted, ended
    ///   or renewed in between. `listing::lease_held_throughout_is_listed_despite_changes`
    /// - A prefix and an owner mean exactly themselves, and a lease is listed when it matches both.
    ///   `listing::listing_filters_by_prefix` `listing::listing_filters_by_owner`
    /// - A cursor that is not the store's own is refused as
    ///   [`InvalidInput`](crate::ErrorKind::InvalidInput). `listing::foreign_cursor_is_refused`
    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>>;

    /// The waiters of an owner or of a session on all keys, page by page. A page may be short or
    /// empty while it names a next.
    ///
    /// # Errors
    /// When the store did not answer, or not sensibly; when the cursor is not one of its own.
    ///
    /// # Contract
    /// - Every waiter of the very same owner is found, on whatever key.
    ///   `inspection::waits_of_an_owner_are_found`
    /// - Every waiter of the very same session is found, and none of another session of its owner.
    ///   `inspection::waits_of_a_session_are_found`
    /// - A request that was granted or left the queue is not.
    ///   `inspection::waits_end_with_the_grant`
    /// - Following the pages to the last finds every waiter once while nothing changes.
    ///   `inspection::waits_are_paged`
    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>>;

    /// The events after a cursor, or from now on when there is none.
    ///
    /// # Errors
    /// When the store cannot be listened to, or offers no events; when the cursor is not one of a
    /// store of this kind.
    ///
    /// # Contract
    /// - From the return of this call on, every change of a key is an event, in the order in which
    ///   they happened, with the very lease or waiter that it is about.
    ///   `events::events_tell_the_story_of_a_key`
    /// - A watch after the cursor of an event sees what followed it, each event once; where the
    ///   store no longer keeps that, it first sees [`Watched::Missed`].
    ///   `events::watch_resumes_after_a_cursor`
    /// - Only events that match the whole filter are seen. `events::events_are_filtered`
    /// - An eviction names the lease or the waiter, who ended it and why.
    ///   `events::eviction_event_names_who_and_why`
    /// - A transfer names both leases and concerns both owners. `events::transfer_event_names_both`
    /// - What ends by itself is an event as soon as a command touches the key: a lease that ran
    ///   out, before the grant that follows, and a waiter that fell silent.
    ///   `events::expiry_is_an_event` `events::lapsed_and_cancelled_waiters_are_events`
    async fn watch(&self, filter: &EventFilter, after: Option<&EventCursor>)
    -> Result<EventStream>;

    /// The health of the store.
    ///
    /// # Errors
    /// When the store did not answer, or not sensibly.
    ///
    /// # Contract
    /// - The store tells what it is, the same on every connection. `inspection::health_is_told`
    async fn health(&self) -> Result<Health>;

    /// What the store truly offers.
    ///
    /// # Contract
    /// - What is offered holds, and is the same on every connection.
    ///   `inspection::capabilities_are_as_expected`
    fn capabilities(&self) -> Capabilities;
}

/// A whole store: the protocol and what can be seen.
///
/// Every type that is both is one; it is here so that both can be had behind one `dyn`.
pub trait LockStore: LockBackend + LockInspector {}

impl<S: LockBackend + LockInspector + ?Sized> LockStore for S {}

/// Events, in the order of their key, until the store or the watcher goes.
pub type EventStream = Pin<Box<dyn Stream<Item = Watched> + Send>>;

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
            /// Keeps the text that a store wrote.
            #[must_use]
            pub const fn new(text: String) -> Self {
                Self(text)
            }

            /// The text that the store wrote.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

cursor! {
    /// Where a page ended.
    Cursor
}

cursor! {
    /// Where an event stands among all events of a store.
    EventCursor
}

/// Which key to inspect, and which of its waiters to show.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InspectQuery {
    /// The key.
    pub key: LockKey,
    /// Maximum number of leases and of waiters to show, up to [`MAX_LIMIT`](Self::MAX_LIMIT).
    pub limit: NonZeroU32,
    /// Where the last page of waiters ended; `None` begins.
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

    /// Shows at most `limit` leases and `limit` waiters.
    #[must_use]
    pub fn with_limit(self, limit: NonZeroU32) -> Self {
        Self { limit, ..self }
    }

    /// Shows the waiters that follow.
    #[must_use]
    pub fn after(self, cursor: Cursor) -> Self {
        Self { cursor: Some(cursor), ..self }
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
    /// A key that nobody holds or waits for.
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

/// Which leases to list: all that match every given condition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListQuery {
    /// Only keys that begin with this text; every key does with the empty text.
    pub prefix: String,
    /// Only leases of this owner.
    pub owner: Option<OwnerId>,
    /// The most leases on one page.
    pub limit: NonZeroU32,
    /// Where the last page ended; `None` begins.
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

    /// At most `limit` leases on a page.
    #[must_use]
    pub fn with_limit(self, limit: NonZeroU32) -> Self {
        Self { limit, ..self }
    }

    /// The page that follows.
    #[must_use]
    pub fn after(self, cursor: Cursor) -> Self {
        Self { cursor: Some(cursor), ..self }
    }

    /// Whether the lease is wanted.
    #[must_use]
    pub fn matches(&self, lease: &Lease) -> bool {
        lease.key.as_str().starts_with(&self.prefix)
            && self.owner.as_ref().is_none_or(|owner| lease.owner == *owner)
    }
}

/// Whose waiters to find, and which of them to show.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitsQuery {
    /// Whose waiters.
    pub of: WaitsOf,
    /// Maximum number of waiters on one page.
    pub limit: NonZeroU32,
    /// Where the last page ended; `None` begins.
    pub cursor: Option<Cursor>,
}

/// Whose waiters to find.
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

    /// At most `limit` waiters on a page.
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

impl WaitsOf {
    /// Whether the waiter is wanted.
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

/// Some of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Page<T> {
    /// The items, in the store's own order.
    pub items: Vec<T>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// These items, and where the next page begins.
    #[must_use]
    pub const fn new(items: Vec<T>, next: Option<Cursor>) -> Self {
        Self { items, next }
    }
}

/// The health of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Health {
    /// What the store is, for people: its name and version.
    pub store: String,
    /// What an operator should mend, for people; nothing when all is well.
    pub warnings: Vec<String>,
}

impl Health {
    /// The store answers, and these things should be mended.
    #[must_use]
    pub const fn new(store: String, warnings: Vec<String>) -> Self {
        Self { store, warnings }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.store)?;
        if self.warnings.is_empty() {
            f.write_str("well")
        } else {
            f.write_str(&self.warnings.join("; "))
        }
    }
}

/// What a store truly offers; the conformance suite holds it to its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// [`listen`](LockBackend::listen) gives notices.
    pub notices: bool,
    /// [`watch`](LockInspector::watch) gives events.
    pub events: bool,
    /// Processes on several machines can share the store.
    pub shared: bool,
    /// Leases outlive the process that keeps the store.
    pub durable: bool,
    /// The most bytes that a key may have.
    pub key_bytes: usize,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::none()
    }
}

impl Capabilities {
    /// Nothing beyond the protocol.
    #[must_use]
    pub const fn none() -> Self {
        let key_bytes = LockKey::MAX_BYTES;
        Self { notices: false, events: false, shared: false, durable: false, key_bytes }
    }

    /// Takes keys of at most this many bytes.
    #[must_use]
    pub const fn with_key_bytes(self, key_bytes: usize) -> Self {
        Self { key_bytes, ..self }
    }

    /// Tells mailboxes of grants and of ends by force.
    #[must_use]
    pub const fn with_notices(self) -> Self {
        Self { notices: true, ..self }
    }

    /// Gives events.
    #[must_use]
    pub const fn with_events(self) -> Self {
        Self { events: true, ..self }
    }

    /// Can be shared between machines.
    #[must_use]
    pub const fn with_sharing(self) -> Self {
        Self { shared: true, ..self }
    }

    /// Outlives its process.
    #[must_use]
    pub const fn with_durability(self) -> Self {
        Self { durable: true, ..self }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<I: LockInspector + ?Sized> LockInspector for Arc<I> {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        (**self).inspect(query).await
    }
    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        (**self).list(query).await
    }
    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        (**self).waits_of(query).await
    }
    async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        (**self).watch(filter, after).await
    }
    async fn health(&self) -> Result<Health> {
        (**self).health().await
    }
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }
}
