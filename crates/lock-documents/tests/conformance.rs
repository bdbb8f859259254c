//! The suite on the store in memory.

use std::sync::Arc;

use async_trait::async_trait;
use lock_documents::conformance::DocumentFixture;
use lock_documents::{DocumentStore, MemoryDocuments};

struct InMemory(MemoryDocuments);

#[async_trait]
impl DocumentFixture for InMemory {
    async fn start() -> Self {
        Self(MemoryDocuments::new())
    }

    async fn connect(&self) -> Arc<dyn DocumentStore> {
        Arc::new(self.0.clone())
    }
}

lock_documents::document_conformance!(InMemory);
