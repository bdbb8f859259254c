//! The stores under test.

use std::sync::Arc;

use async_trait::async_trait;
use lock_atlantis::RedisDocuments;
use lock_atlantis::fallback::{Fallback, FallbackConfig, FallbackStore};
use lock_atlantis::{AtlantisRedis, ServerConfig};
use lock_compat::conformance::LegacyFixture;
use lock_compat::conformance::behind::{put_document, put_lease};
use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::{LegacyKey, ProjectLock};
use lock_compat::{LegacyBackend, LockAdapter};
use lock_core::{LockManager, OwnerId};
use lock_memory::MemoryBackend;
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::server::RedisServer;

fn owner() -> OwnerId {
    OwnerId::parse("atlantis").expect("an owner")
}

/// The adapter over the store in memory.
pub(crate) struct OverMemory(LockAdapter);

#[async_trait]
impl LegacyFixture for OverMemory {
    async fn start() -> Self {
        let manager = LockManager::new(MemoryBackend::new(), owner());
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

/// The adapter over the store in Redis, with its documents on the same server.
pub(crate) struct OverRedis(LockAdapter, #[expect(dead_code, reason = "it runs")] RedisServer);

#[async_trait]
impl LegacyFixture for OverRedis {
    async fn start() -> Self {
        let server = RedisServer::start().await;
        let config = RedisConfig::parse(&server.url()).expect("a URL");
        let locks = RedisBackend::connect(config).await.expect("the server is up");
        let config = ServerConfig::parse(&server.url()).expect("a URL");
        let documents = RedisDocuments::connect(config, "documents").await.expect("it is up");
        let manager = LockManager::new(locks, owner());
        Self(LockAdapter::new(manager, documents), server)
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

/// Atlantis' own layout.
pub(crate) struct Atlantis {
    store: AtlantisRedis,
    server: RedisServer,
}

#[async_trait]
impl LegacyFixture for Atlantis {
    async fn start() -> Self {
        let server = RedisServer::start().await;
        let config = ServerConfig::parse(&server.url()).expect("a URL");
        Self { store: AtlantisRedis::connect(config).await.expect("the server is up"), server }
    }

    fn backend(&self) -> Arc<dyn LegacyBackend> {
        Arc::new(self.store.clone())
    }

    async fn put_status(&self, key: &str, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).expect("text");
        assert_eq!(self.server.command(&["SET", key, text]).await, "OK");
    }

    async fn put_lock(&self, lock: &ProjectLock, bytes: &[u8]) {
        self.put_status(&format!("pr/{}", LegacyKey::of(lock)), bytes).await;
    }
}

/// Atlantis' own layout, with a mirror in memory.
pub(crate) struct WithFallback {
    store: Arc<Fallback>,
    primary: Atlantis,
    mirror: OverMemory,
}

#[async_trait]
impl LegacyFixture for WithFallback {
    async fn start() -> Self {
        let (primary, mirror) = (Atlantis::start().await, OverMemory::start().await);
        let stores: [Arc<dyn FallbackStore>; 2] =
            [Arc::new(primary.store.clone()), Arc::new(mirror.0.clone())];
        let [first, second] = stores;
        let store =
            Fallback::open(first, second, FallbackConfig::new()).await.expect("both are empty");
        Self { store: Arc::new(store), primary, mirror }
    }

    fn backend(&self) -> Arc<dyn LegacyBackend> {
        Arc::clone(&self.store) as Arc<dyn LegacyBackend>
    }

    async fn put_status(&self, key: &str, bytes: &[u8]) {
        self.primary.put_status(key, bytes).await;
        self.mirror.put_status(key, bytes).await;
    }

    async fn put_lock(&self, lock: &ProjectLock, bytes: &[u8]) {
        self.primary.put_lock(lock, bytes).await;
        self.mirror.put_lock(lock, bytes).await;
    }
}
