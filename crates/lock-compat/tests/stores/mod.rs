//! The stores that tests are about.

use std::sync::Arc;

use async_trait::async_trait;
use lock_compat::conformance::LegacyFixture;
use lock_compat::documents::{DocumentStore, MemoryDocuments, RedisDocuments};
use lock_compat::fallback::{Fallback, FallbackConfig, FallbackStore};
use lock_compat::legacy::{LegacyKey, Project, ProjectLock};
use lock_compat::{AtlantisRedis, LegacyBackend, LockAdapter, ServerConfig};
use lock_core::{Attempt, LockManager, Metadata, OwnerId, Ttl};
use lock_memory::MemoryBackend;
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit::server::RedisServer;

fn owner() -> OwnerId {
    OwnerId::parse("atlantis").expect("an owner")
}

/// Puts a document in the place of the one of this name.
async fn put_document(documents: &impl DocumentStore, name: &str, bytes: &[u8]) {
    let revision = documents.read(name).await.expect("it reads").map(|it| it.revision);
    let _ = documents.replace(name, revision, Some(bytes)).await.expect("it writes");
}

/// Holds the key of a lock with these bytes in its place.
async fn put_lease(adapter: &LockAdapter, lock: &ProjectLock, bytes: &[u8]) {
    assert!(adapter.try_lock(lock.clone()).await.expect("it locks").0, "it was free");
    let manager = adapter.manager();
    let Project { repo_full_name, path, project_name, .. } = &lock.project;
    let key = format!("project:{repo_full_name}:{path}:{}:{project_name}", lock.workspace);
    let leases = manager.inspect(key).await.expect("it inspects").value.leases;
    let lease = leases.into_iter().next().expect("nothing in this name is escaped");
    assert!(manager.evict(&lease, "for a damaged one").await.expect("it unlocks"));
    let damaged = String::from_utf8(bytes.to_vec()).expect("metadata is text");
    let metadata = Metadata::parse([("lock", damaged)]).expect("it is short");
    let attempt = manager.try_acquire(lease.key).ttl(Ttl::Never).metadata(metadata).await;
    let Ok(Attempt::Acquired(guard)) = attempt else { unreachable!("it is free again") };
    guard.into_lease().await.expect("it is held");
}

/// The adapter over the store in memory.
pub(crate) struct OverMemory(LockAdapter, MemoryDocuments);

#[async_trait]
impl LegacyFixture for OverMemory {
    async fn start() -> Self {
        let (manager, documents) =
            (LockManager::new(MemoryBackend::new(), owner()), MemoryDocuments::new());
        Self(LockAdapter::new(manager, documents.clone()), documents)
    }

    fn backend(&self) -> Arc<dyn LegacyBackend> {
        Arc::new(self.0.clone())
    }

    async fn put_status(&self, key: &str, bytes: &[u8]) {
        put_document(&self.1, key, bytes).await;
    }

    async fn put_lock(&self, lock: &ProjectLock, bytes: &[u8]) {
        put_lease(&self.0, lock, bytes).await;
    }
}

/// The adapter over the store in Redis, with its documents in the same.
pub(crate) struct OverRedis(
    LockAdapter,
    RedisDocuments,
    #[expect(dead_code, reason = "it runs")] RedisServer,
);

#[async_trait]
impl LegacyFixture for OverRedis {
    async fn start() -> Self {
        let server = RedisServer::start().await;
        let config = RedisConfig::parse(&server.url()).expect("a URL");
        let locks = RedisBackend::connect(config).await.expect("the server is up");
        let config = ServerConfig::parse(&server.url()).expect("a URL");
        let documents = RedisDocuments::connect(config, "documents").await.expect("it is up");
        let manager = LockManager::new(locks, owner());
        Self(LockAdapter::new(manager, documents.clone()), documents, server)
    }

    fn backend(&self) -> Arc<dyn LegacyBackend> {
        Arc::new(self.0.clone())
    }

    async fn put_status(&self, key: &str, bytes: &[u8]) {
        put_document(&self.1, key, bytes).await;
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
        let store = Fallback::open(first, second, FallbackConfig::new()).await.expect("both are empty");
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
