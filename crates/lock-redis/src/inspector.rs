//! The inspector.

use async_trait::async_trait;
use lock_core::{
    Capabilities, EventCursor, EventFilter, EventStream, Health, InspectQuery, Inspection, Lease,
    ListQuery, LockInspector, Page, Result, Timed, Waiter, WaitsQuery,
};

use crate::backend::RedisBackend;

/// Leases are listed in no order; a page takes time in proportion to all keys of the server's
/// database, little for each.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockInspector for RedisBackend {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        self.shards.of(&query.key).inspect(query).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        self.shards.list(query).await
    }

    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        self.shards.waits_of(query).await
    }

    async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        self.shards.watch(filter, after).await
    }

    async fn health(&self) -> Result<Health> {
        self.shards.health().await
    }

    fn capabilities(&self) -> Capabilities {
        self.shards.capabilities
    }
}
