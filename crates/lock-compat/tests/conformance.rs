//! Atlantis' own tests, on the adapter over the store in memory.

use std::sync::Arc;

use async_trait::async_trait;
use lock_compat::conformance::LegacyFixture;
use lock_compat::conformance::behind::{put_document, put_lease};
use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::ProjectLock;
use lock_compat::{LegacyBackend, LockAdapter};
use lock_core::{LockManager, OwnerId};
use lock_memory::MemoryBackend;

struct OverMemory(LockAdapter);

#[async_trait]
impl LegacyFixture for OverMemory {
    async fn start() -> Self {
        let owner = OwnerId::parse("atlantis").expect("an owner");
        let manager = LockManager::new(MemoryBackend::new(), owner);
        Self(LockAdapter::new(manager, MemoryDocuments::new()))
    }

    fn backend(&self) -> Arc<dyn LegacyBackend> {
        Arc::new(self.0.clone())
    }

    async fn put_status(&self, key: &str, bytes: &[u8]) {
        put_document(self.0.documents(), key, bytes).await;
    }

    async fn put_lock(&self, lock: &ProjectLock, bytes: &[u8]) {
        put_lease(&self.0, lock, bytes).await;
    }
}

lock_compat::legacy_conformance!(OverMemory);
