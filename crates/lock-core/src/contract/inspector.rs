//! The inspector trait: holders, waiters, events and health of a store.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_core::Stream;

use crate::{
    Capabilities, EventCursor, EventFilter, Health, InspectQuery, Inspection, Lease, ListQuery,
    LockBackend, Page, Result, Timed, Waiter, WaitsQuery, Watched,
};

/// Read access to a store.
///
/// [`LockManager`](crate::LockManager), operators' tools and deadlock detection call it; every
/// backend implements it beside [`LockBackend`]. An inspection drops expired entries first, as
/// every command does, so that only live entries are shown.
///
/// # Cancel safety
/// Every call may be dropped at any time.
///
/// # Contract
/// - Leases that are over and waiters that were silent for too long are not shown.
///   `inspection::the_dead_are_not_shown` `listing::over_leases_are_not_listed`
/// - Ages and remaining times are differences between times of one reply, all on the store's clock.
///   `inspection::ages_are_counted_on_the_stores_clock`
/// - Metadata is shown as it was given, up to the largest that is allowed.
///   `metadata::metadata_is_kept` `metadata::largest_metadata_is_kept`
/// - Keys, owners and prefixes are compared as the bytes that they are.
///   `isolation::glob_characters_are_plain` `isolation::unicode_keys_are_exact`
///   `isolation::owners_are_exact`
#[async_trait]
pub trait LockInspector: Debug + Send + Sync + 'static {
    /// The leases and the waiters of a key, the waiters page by page. A page may be short while it
    /// names a next.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when the store did not answer;
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when its answer or the key is damaged;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the cursor is not one of
    /// this store.
    ///
    /// # Contract
    /// - A key without holders and waiters shows nothing. `inspection::free_key_shows_nothing`
    /// - Leases are shown as they were granted, the first to end first, those that never end last,
    ///   at most as many as the limit. `inspection::holders_are_shown`
    /// - Waiters are shown with what they asked for, the head first.
    ///   `inspection::waiters_are_shown_in_order`
    /// - Following the pages to the last shows every waiter once while nothing changes, and no page
    ///   shows more than the limit. `inspection::waiters_are_paged`
    /// - Holders and waiters are counted exactly. `inspection::queue_of_many_is_counted`
    /// - Inspection grants what is due: the waiter after an expired lease is shown as the holder
    ///   that it now is. `inspection::inspection_grants_what_is_due`
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>>;

    /// The leases that are alive, page by page. A page may be short or empty while it names a next.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when the store did not answer;
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when its answer or the key is damaged;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the cursor is not one of
    /// this store.
    ///
    /// # Contract
    /// - Following the pages to the last lists every lease once while nothing changes, and no page
    ///   holds more than the limit. `listing::every_lease_is_listed_once`
    /// - Each of the leases that share a key is listed. `listing::shared_leases_are_listed_each`
    /// - Requests that wait are not listed. `listing::waiters_are_not_listed`
    /// - A lease that is held from the first page to the last is listed, whatever is granted, ended
    ///   or renewed in between. `listing::lease_held_throughout_is_listed_despite_changes`
    /// - A prefix and an owner match literally, and a lease is listed when it matches both.
    ///   `listing::listing_filters_by_prefix` `listing::listing_filters_by_owner`
    /// - A cursor that is not the store's own is refused as
    ///   [`InvalidInput`](crate::ErrorKind::InvalidInput). `listing::foreign_cursor_is_refused`
    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>>;

    /// The waiters of an owner or of a session on all keys, page by page. A page may be short or
    /// empty while it names a next.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when the store did not answer;
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when its answer or the key is damaged;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the cursor is not one of
    /// this store.
    ///
    /// # Contract
    /// - Every waiter of exactly this owner is found, on any key.
    ///   `inspection::waits_of_an_owner_are_found`
    /// - Every waiter of exactly this session is found, and none of another session of its owner.
    ///   `inspection::waits_of_a_session_are_found`
    /// - A request that was granted or left the queue is not found.
    ///   `inspection::waits_end_with_the_grant`
    /// - Following the pages to the last finds every waiter once while nothing changes.
    ///   `inspection::waits_are_paged`
    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>>;

    /// Streams the events after a cursor, or from now on without one.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when the store did not answer;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when it offers no events;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the cursor is not one of a
    /// store of this kind.
    ///
    /// # Contract
    /// - From the return of this call on, every change of a key is an event, in order, with the
    ///   lease or waiter concerned. `events::events_record_every_change_of_a_key`
    /// - A watch after the cursor of an event sees what followed, each event once; where the store
    ///   no longer keeps all of that, it sees [`Watched::Missed`] first.
    ///   `events::watch_resumes_after_a_cursor`
    /// - Only events that match the whole filter are seen. `events::events_are_filtered`
    /// - An eviction names the lease or the waiter, who ended it and why.
    ///   `events::eviction_event_names_who_and_why`
    /// - A transfer names both leases and concerns both owners. `events::transfer_event_names_both`
    /// - An expiry is an event as soon as a command touches the key: that of a lease, before the
    ///   grant that follows, and that of a silent waiter. `events::expiry_is_an_event`
    ///   `events::lapsed_and_cancelled_waiters_are_events`
    async fn watch(&self, filter: &EventFilter, after: Option<&EventCursor>)
    -> Result<EventStream>;

    /// The health of the store.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when the store did not answer;
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when its answer is damaged.
    ///
    /// # Contract
    /// - The store reports what it is, the same on every connection.
    ///   `inspection::health_is_reported`
    async fn health(&self) -> Result<Health>;

    /// Capabilities of the store.
    ///
    /// # Contract
    /// - The reported capabilities hold, and are the same on every connection.
    ///   `inspection::capabilities_are_as_expected`
    fn capabilities(&self) -> Capabilities;
}

/// A store: backend and inspector.
///
/// Every type that is both is one; it is here so that both can be had behind one `dyn`.
pub trait LockStore: LockBackend + LockInspector {}

impl<S: LockBackend + LockInspector + ?Sized> LockStore for S {}

/// Stream of events, in order per key, until the store or the watcher is dropped.
pub type EventStream = Pin<Box<dyn Stream<Item = Watched> + Send>>;

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
