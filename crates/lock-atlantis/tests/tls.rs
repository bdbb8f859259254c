//! Atlantis' layout behind TLS: `TestRedisWithTLS`.

use lock_atlantis::{AtlantisRedis, ServerConfig};
use lock_compat::LegacyBackend;
use lock_compat::conformance::lock;
use lock_testkit_redis::server::RedisServer;
use redis::{Client, TlsCertificates};

#[tokio::test]
async fn store_is_reached_by_tls() {
    let server = RedisServer::start().await;
    let Some(tls) = server.with_tls().await else { return };

    let stranger = ServerConfig::parse(&tls.url).expect("a URL");
    AtlantisRedis::connect(stranger).await.expect_err("nobody vouches for it");

    let careless = ServerConfig::parse(&format!("{}#insecure", tls.url)).expect("a URL");
    AtlantisRedis::connect(careless).await.expect("whoever it is");

    let root_cert = Some(tls.authority.into_bytes());
    let client = Client::build_with_tls(tls.url, TlsCertificates { client_tls: None, root_cert });
    let config = ServerConfig::from_client(client.expect("a client"));
    let store = AtlantisRedis::connect(config).await.expect("the server is up");
    let answer = store.try_lock(lock("owner/repo", ".", "default", 1)).await;
    assert!(answer.is_ok_and(|(is_new, _)| is_new));
}
