//! The store behind TLS, with a certificate of an authority of its own.

use lock_core::{AcquireRequest, Acquisition, ErrorKind, LockBackend, LockKey, OwnerId, RequestId};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit::Skipped;
use lock_testkit_redis::server::RedisServer;
use redis::{Client, TlsCertificates};

#[tokio::test]
async fn store_is_reached_by_tls() {
    let server = RedisServer::start().await;
    let Some(tls) = server.with_tls().await else {
        return Skipped::because("the server has no TLS").tell("tls::store_is_reached_by_tls");
    };

    let stranger = RedisConfig::parse(&tls.url).expect("a URL");
    let error = RedisBackend::connect(stranger.clone()).await.expect_err("nobody vouches for it");
    assert_eq!(error.kind(), ErrorKind::Unavailable);

    let root_cert = Some(tls.authority.into_bytes());
    let client = Client::build_with_tls(tls.url, TlsCertificates { client_tls: None, root_cert });
    let store = RedisBackend::from_client(&client.expect("a client"), stranger).await;
    let key = LockKey::parse("key").expect("a key");
    let owner = OwnerId::parse("alice").expect("an owner");
    let request = AcquireRequest::new(RequestId::random(), key, owner);
    let answer = store.expect("the server is up").acquire(&request).await;
    assert!(matches!(answer.expect("it answers").value, Acquisition::Granted(_)));
}
