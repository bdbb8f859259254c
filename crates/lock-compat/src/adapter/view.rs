//! The leases and the queue of a lock store, read to the last page.

use std::num::NonZeroU32;

use lock_core::{
    Cursor, InspectQuery, Inspection, Lease, ListQuery, LockKey, OwnerId, Page, Result, Timed,
    Waiter, WaitsQuery,
};

use super::LockAdapter;

/// Maximum number of leases or waiters on one page.
pub(super) const PAGE: NonZeroU32 = NonZeroU32::new(1000).expect("1000 is not zero");

/// The position of a waiter.
pub(super) struct WaiterPosition {
    /// The position in the queue, 1 being the head.
    pub(super) position: u64,
    /// The number of waiters.
    pub(super) waiting: u64,
    /// The lease in the way.
    pub(super) holder: Option<Lease>,
}

impl LockAdapter {
    /// The lease of a key and the head of its queue.
    pub(super) async fn head(&self, key: &LockKey) -> Result<(Option<Lease>, Option<Waiter>)> {
        let query = InspectQuery::new(key.clone()).with_limit(NonZeroU32::MIN);
        let Inspection { leases, waiters, .. } = self.manager().inspect_page(&query).await?.value;
        Ok((leases.into_iter().next(), waiters.items.into_iter().next()))
    }

    /// The leases of all keys that begin with `prefix`, in the order of the keys, so that a report
    /// on them is the same twice.
    pub(super) async fn leases(&self, prefix: &str) -> Result<Vec<Lease>> {
        let query = ListQuery::all().with_prefix(prefix).with_limit(PAGE);
        let page = |cursor| {
            let mut query = query.clone();
            query.cursor = cursor;
            async move { self.manager().list(&query).await }
        };
        let mut leases = Vec::new();
        let read = |page: Page<Lease>| {
            leases.extend(page.items);
            page.next
        };
        follow(page, read).await?;
        leases.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        Ok(leases)
    }

    /// The waiters of an owner, for whatever key.
    pub(super) async fn waiters_of(&self, owner: OwnerId) -> Result<Vec<Waiter>> {
        let mut query = WaitsQuery::new(owner);
        query.limit = PAGE;
        let page = |cursor| {
            let mut query = query.clone();
            query.cursor = cursor;
            async move { self.manager().waits_of(&query).await }
        };
        let mut waiters = Vec::new();
        let read = |page: Page<Waiter>| {
            waiters.extend(page.items);
            page.next
        };
        follow(page, read).await?;
        Ok(waiters)
    }

    /// The position of the first waiter of `owner`; `None` when it does not wait for the key.
    ///
    /// The holder and the number of waiters are those of the first page.
    pub(super) async fn standing(
        &self,
        key: LockKey,
        owner: &OwnerId,
    ) -> Result<Option<WaiterPosition>> {
        let query = InspectQuery::new(key).with_limit(PAGE);
        let page = |cursor| {
            let mut query = query.clone();
            query.cursor = cursor;
            async move { self.manager().inspect_page(&query).await }
        };
        let (mut is_found, mut ahead, mut first) = (false, 0, None);
        let read = |Inspection { leases, waiting, waiters, .. }: Inspection| {
            first.get_or_insert_with(|| (waiting, leases.into_iter().next()));
            let found = waiters.items.iter().position(|waiter| waiter.owner == *owner);
            is_found = found.is_some();
            ahead += found.unwrap_or(waiters.items.len()) as u64;
            waiters.next.filter(|_| !is_found)
        };
        follow(page, read).await?;
        let (waiting, holder) = first.unwrap_or_default();
        Ok(is_found.then_some(WaiterPosition { position: ahead + 1, waiting, holder }))
    }
}

/// Reads the first page, and then each page that `read` names. A page may be empty while it names a
/// next.
async fn follow<P, F>(
    page: impl Fn(Option<Cursor>) -> F,
    mut read: impl FnMut(P) -> Option<Cursor>,
) -> Result<()>
where
    F: Future<Output = Result<Timed<P>>>,
{
    let mut cursor = None;
    loop {
        cursor = read(page(cursor).await?.value);
        if cursor.is_none() {
            return Ok(());
        }
    }
}
