//! The service over TLS.

use std::sync::Arc;
use std::time::Duration;

use lock_atlantis_server::{AtlantisService, AtlantisServiceConfig};
use lock_compat::LockAdapter;
use lock_compat::documents::MemoryDocuments;
use lock_core::{LockManager, OwnerId};
use lock_memory::MemoryBackend;
use lock_server::{Access, Certificate};
use rcgen::generate_simple_self_signed;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::common::{Raw, frame};

#[tokio::test]
async fn client_over_tls_is_served_and_one_without_is_cut_off() {
    let made = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_pem();
    let certificate = Certificate::parse(made.cert.pem().as_bytes(), key.as_bytes()).unwrap();
    let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("atlantis").unwrap());
    let adapter = LockAdapter::new(manager, MemoryDocuments::new());
    let config = AtlantisServiceConfig::new().with_frame_timeout(Duration::from_millis(500));
    let service = AtlantisService::new(adapter, Access::open(), config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let shutdown = async { drop(stopped.await) };
        service.serve(listener, Some(certificate), shutdown).await;
    });

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let client = client.with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let mut stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
    stream.write_all(frame(&["ECHO", "hello"]).as_bytes()).await.unwrap();
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"$5\r\nhello\r\n");

    let mut plain = Raw(TcpStream::connect(address).await.unwrap());
    plain.send(frame(&["PING"])).await;
    assert!(!plain.rest().await.contains("PONG"));

    // At the end, clients between two commands are told so by the end of their connections.
    drop(stop);
    serving.await.unwrap();
    assert_eq!(stream.read(&mut answer).await.unwrap(), 0);
}
