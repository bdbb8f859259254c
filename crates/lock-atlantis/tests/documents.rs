//! The suite of document stores, on documents in Redis.

use std::sync::Arc;

use async_trait::async_trait;
use lock_atlantis::{RedisDocuments, ServerConfig};
use lock_compat::documents::DocumentStore;
use lock_compat::documents::conformance::DocumentFixture;
use lock_testkit_redis::server::RedisServer;

/// A server; each connection is one of its own.
struct InRedis(RedisServer);

#[async_trait]
impl DocumentFixture for InRedis {
    async fn start() -> Self {
        Self(RedisServer::start().await)
    }

    async fn connect(&self) -> Arc<dyn DocumentStore> {
        let config = ServerConfig::parse(&self.0.url()).expect("a URL");
        let documents = RedisDocuments::connect(config, "documents").await;
        Arc::new(documents.expect("the server is up"))
    }
}

lock_compat::documents::document_conformance!(InRedis);
