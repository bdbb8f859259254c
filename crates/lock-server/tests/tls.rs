//! The service over TLS, with a certificate of an authority of its own.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lock_memory::MemoryBackend;
use lock_server::{Certificate, Service, ServiceConfig};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// An authority, which only its own clients trust.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for this machine and its key, in PEM.
    fn issued(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// A client that trusts this authority alone; the status line of its answer.
    async fn asks(&self, address: SocketAddr) -> io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.0.der().to_vec())).unwrap();
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        let name = "localhost".try_into().unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.lines().next().unwrap_or_default().to_owned())
    }
}

async fn serve(certificate: &Certificate, config: ServiceConfig) -> SocketAddr {
    let service = Service::new(Arc::new(MemoryBackend::new()), config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let certificate = certificate.clone();
    tokio::spawn(async move {
        service.serve_tls(listener, certificate, std::future::pending()).await;
    });
    address
}

fn certificate((chain, key): &(String, String)) -> Certificate {
    Certificate::parse(chain.as_bytes(), key.as_bytes()).unwrap()
}

const OK: &str = "HTTP/1.1 204 No Content";

#[tokio::test]
async fn client_that_trusts_the_authority_is_served() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate = certificate(&authority.issued());
    let address = serve(&certificate, ServiceConfig::new()).await;
    assert_eq!(authority.asks(address).await.unwrap(), OK);
    let error = stranger.asks(address).await.unwrap_err().to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
}

#[tokio::test]
async fn certificate_is_replaced_and_a_bad_one_is_not_taken() {
    let (old, new) = (Authority::new(), Authority::new());
    let certificate = certificate(&old.issued());
    let address = serve(&certificate, ServiceConfig::new()).await;
    let ((chain, key), (_, other)) = (new.issued(), new.issued());
    for (chain, key, words) in [
        (chain.as_str(), other.as_str(), "keys may not be consistent"),
        ("", key.as_str(), "there is none"),
        (chain.as_str(), "", "the key: "),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key.as_str(), ""),
    ] {
        let error = certificate.replace(chain.as_bytes(), key.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(old.asks(address).await.unwrap(), OK, "the old one stays");
    }
    certificate.replace(chain.as_bytes(), key.as_bytes()).unwrap();
    assert_eq!(new.asks(address).await.unwrap(), OK);
    old.asks(address).await.unwrap_err();
}

/// Neither plain HTTP nor silence keeps a connection, and others are served.
#[tokio::test]
async fn client_without_a_handshake_is_cut_off() {
    let authority = Authority::new();
    let certificate = certificate(&authority.issued());
    let config = ServiceConfig::new().with_header_timeout(Duration::from_millis(100));
    let address = serve(&certificate, config).await;
    for sent in [&b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"[..], b"", b"\x16\x03\x01"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(Duration::from_secs(5), read).await.expect("it is cut off");
        // An alert of TLS at most.
        assert!(answer.len() <= 7, "{answer:?}");
    }
    assert_eq!(authority.asks(address).await.unwrap(), OK);
}
