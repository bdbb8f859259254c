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

mod queues {
    use std::sync::Arc;

    use async_trait::async_trait;
    use lock_compat::conformance::queues::QueueFixture;
    use lock_compat::documents::MemoryDocuments;
    use lock_core::LockStore;
    use lock_memory::MemoryBackend;

    struct OverMemory(MemoryBackend, MemoryDocuments);

    #[async_trait]
    impl QueueFixture for OverMemory {
        type Documents = MemoryDocuments;

        async fn start() -> Self {
            Self(MemoryBackend::new(), MemoryDocuments::new())
        }

        fn store(&self) -> Arc<dyn LockStore> {
            Arc::new(self.0.clone())
        }

        fn documents(&self) -> MemoryDocuments {
            self.1.clone()
        }
    }

    lock_compat::queue_conformance!(OverMemory);
}

mod queues_in_redis {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use async_trait::async_trait;
    use lock_compat::conformance::queues::QueueFixture;
    use lock_compat::documents::MemoryDocuments;
    use lock_core::LockStore;
    use lock_redis::{RedisBackend, RedisConfig};
    use lock_testkit_redis::server::RedisServer;

    struct OverRedis {
        store: RedisBackend,
        documents: MemoryDocuments,
        _server: RedisServer,
    }

    #[async_trait]
    impl QueueFixture for OverRedis {
        type Documents = MemoryDocuments;

        async fn start() -> Self {
            let server = RedisServer::start().await;
            let config = RedisConfig::parse(&server.url()).expect("a URL");
            let config = config.with_journal(NonZeroU32::new(1000).expect("it is not zero"));
            let store = RedisBackend::connect(config).await.expect("the server answers");
            Self { store, documents: MemoryDocuments::new(), _server: server }
        }

        fn store(&self) -> Arc<dyn LockStore> {
            Arc::new(self.store.clone())
        }

        fn documents(&self) -> MemoryDocuments {
            self.documents.clone()
        }
    }

    lock_compat::queue_conformance!(OverRedis);
}
