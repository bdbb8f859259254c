//! The store behind TLS, with a certificate of an authority of its own.

use std::net::TcpListener;
use std::path::Path;

use lock_core::{AcquireRequest, Acquisition, ErrorKind, LockBackend, LockKey, OwnerId, RequestId};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit::server::RedisServer;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use redis::{Client, TlsCertificates};

/// An authority, and a server that it vouches for.
struct Certificates {
    authority: String,
    server: String,
    key: String,
}

fn certificates() -> Certificates {
    let key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Named otherwise than the server, or OpenSSL takes the one for the other.
    authority.distinguished_name.push(DnType::CommonName, "authority");
    let certificate = authority.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().expect("a key");
    let mut server = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    server.distinguished_name.push(DnType::CommonName, "server");
    let signed = server.signed_by(&key, &issuer).expect("a certificate");
    Certificates { authority: certificate, server: signed.pem(), key: key.serialize_pem() }
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("the folder can be written to");
    path.to_str().expect("a path of plain characters").to_owned()
}

#[tokio::test]
async fn store_is_reached_by_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificates = certificates();
    let server = RedisServer::start().await;
    // Both are also built without TLS; Valkey then ends when it is asked for it.
    let has_tls = server.command(&["CONFIG", "GET", "tls-port"]).await.contains("tls-port");
    if server.version().await.starts_with("valkey") || !has_tls {
        return;
    }
    // Free a moment ago, and hardly taken since.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let port = free.expect("a port").port();
    for (name, value) in [
        ("tls-auth-clients", "no"),
        ("tls-cert-file", &file(folder.path(), "server.pem", &certificates.server)),
        ("tls-key-file", &file(folder.path(), "server.key", &certificates.key)),
        ("tls-ca-cert-file", &file(folder.path(), "authority.pem", &certificates.authority)),
        ("tls-port", &port.to_string()),
    ] {
        let answer = server.command(&["CONFIG", "SET", name, value]).await;
        assert_eq!(answer, "OK", "{name}");
    }

    let url = format!("rediss://localhost:{port}/");

    let stranger = RedisConfig::parse(&url).expect("a URL");
    let error = RedisBackend::connect(stranger.clone()).await.expect_err("nobody vouches for it");
    assert_eq!(error.kind(), ErrorKind::Unavailable);

    let root_cert = Some(certificates.authority.into_bytes());
    let client = Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert });
    let store = RedisBackend::from_client(&client.expect("a client"), stranger).await;
    let key = LockKey::parse("key").expect("a key");
    let owner = OwnerId::parse("alice").expect("an owner");
    let asked = AcquireRequest::new(RequestId::random(), key, owner);
    let answer = store.expect("the server is up").acquire(&asked).await;
    assert!(matches!(answer, Ok(Acquisition::Granted(_))), "{answer:?}");
}
