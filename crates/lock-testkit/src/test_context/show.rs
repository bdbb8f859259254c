//! Short forms of the queries.

use std::num::NonZeroU32;

use lock_core::{
    InspectQuery, Inspection, Lease, ListQuery, Page, RequestId, Timed, Timestamp, Waiter,
    WaitsQuery,
};

use super::TestContext;
use crate::cases::expect_eq;

impl TestContext {
    /// The leases of all pages, in the order of their keys and then their requests.
    pub async fn list(&self, query: ListQuery) -> Vec<Lease> {
        let (mut query, mut leases) = (query, Vec::new());
        loop {
            let page = self.store.list(&query).await.expect("list answers").value;
            let Some(next) = turn(page, query.limit.get(), &mut leases) else { break };
            assert_ne!(Some(&next), query.cursor.as_ref(), "the next page is another");
            query = query.after(next);
        }
        leases.sort_by_key(|lease| (lease.key.clone(), lease.request));
        leases
    }

    /// The waiting requests of `owner`, in the order of their keys and then their requests.
    pub async fn waits_of(&self, owner: &str) -> Vec<Waiter> {
        self.waits(WaitsQuery::new(Self::owner(owner))).await
    }

    /// The waiters of all pages, in the order of their keys and then their requests.
    pub async fn waits(&self, query: WaitsQuery) -> Vec<Waiter> {
        let (mut query, mut waiters) = (query, Vec::new());
        loop {
            let page = self.store.waits_of(&query).await.expect("waits_of answers").value;
            let Some(next) = turn(page, query.limit.get(), &mut waiters) else { break };
            assert_ne!(Some(&next), query.cursor.as_ref(), "the next page is another");
            query = query.after(next);
        }
        waiters.sort_by_key(|waiter| (waiter.key.clone(), waiter.request));
        waiters
    }

    /// Inspects `key`, with the time of the reply.
    pub async fn look(&self, key: &str) -> Timed<Inspection> {
        let limit = NonZeroU32::new(InspectQuery::MAX_LIMIT).expect("the limit is not zero");
        let query = InspectQuery::new(Self::key(key)).with_limit(limit);
        self.store.inspect(&query).await.expect("inspect answers")
    }

    /// Inspects `key`.
    pub async fn inspect(&self, key: &str) -> Inspection {
        self.look(key).await.value
    }

    /// The present time of the store.
    pub async fn now(&self) -> Timestamp {
        self.look("a key that nobody ever asks for").await.observed_at
    }

    /// The holding requests of `key`, the first to end first.
    pub async fn holding(&self, key: &str) -> Vec<RequestId> {
        self.inspect(key).await.leases.iter().map(|lease| lease.request).collect()
    }

    /// The waiting requests of `key`, the next first.
    pub async fn waiting(&self, key: &str) -> Vec<RequestId> {
        self.inspect(key).await.waiters.items.iter().map(|waiter| waiter.request).collect()
    }

    /// The only lease of `key`.
    pub async fn only_lease(&self, key: &str) -> Lease {
        let mut seen = self.inspect(key).await;
        expect_eq!((seen.holders, seen.leases.len()), (1, 1));
        seen.leases.remove(0)
    }

    /// The only waiter of `key`.
    pub async fn only_waiter(&self, key: &str) -> Waiter {
        let mut seen = self.inspect(key).await;
        expect_eq!((seen.waiting, seen.waiters.items.len()), (1, 1));
        seen.waiters.items.remove(0)
    }

    /// Inspects `key`, which must have no holder and no waiter.
    pub async fn free(&self, key: &str) {
        expect_eq!(self.inspect(key).await, Inspection::free(Self::key(key)));
    }
}

/// Appends a page, and returns the cursor of the next.
fn turn<T>(page: Page<T>, limit: u32, found: &mut Vec<T>) -> Option<lock_core::Cursor> {
    assert!(page.items.len() <= limit as usize, "a page of {limit} has {}", page.items.len());
    found.extend(page.items);
    page.next
}
