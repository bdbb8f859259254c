//! A server that is also reached by TLS, with a certificate of an authority of its own.

use std::net::TcpListener;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::{RedisServer, ServerConfig};

/// An authority and a certificate, in files, of servers that are reached by TLS alone.
#[derive(Debug)]
pub struct Authority {
    folder: tempfile::TempDir,
    /// The certificate of the authority, as PEM.
    pub pem: String,
}

impl Authority {
    /// Makes an authority that vouches for `localhost` and 127.0.0.1.
    #[must_use]
    pub fn create() -> Self {
        let certificates = certificates().expect("certificates are made");
        let folder = tempfile::tempdir().expect("a folder is made");
        file(folder.path(), "server.pem", &certificates.server);
        file(folder.path(), "server.key", &certificates.key);
        file(folder.path(), "authority.pem", &certificates.authority);
        Self { folder, pem: certificates.authority }
    }
}

impl ServerConfig {
    /// Makes the server speak TLS alone, to clients and to other servers, but for its unix socket.
    #[must_use]
    pub fn over_tls(mut self, authority: &Authority) -> Self {
        self.is_tls = true;
        let file = |name| authority.folder.path().join(name).display().to_string();
        self.with("tls-auth-clients", "no")
            .with("tls-replication", "yes")
            .with("tls-cert-file", &file("server.pem"))
            .with("tls-key-file", &file("server.key"))
            .with("tls-ca-cert-file", &file("authority.pem"))
    }
}

/// TLS access to a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tls {
    /// `rediss://localhost:PORT/`.
    pub url: String,
    /// The certificate of the authority that vouches for the server, as PEM.
    pub authority: String,
}

/// An authority, and a server that it vouches for.
struct Certificates {
    authority: String,
    server: String,
    key: String,
}

fn certificates() -> Result<Certificates, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Named otherwise than the server, or OpenSSL takes the one for the other.
    authority.distinguished_name.push(DnType::CommonName, "authority");
    let certificate = authority.self_signed(&key)?.pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    server.distinguished_name.push(DnType::CommonName, "server");
    let signed = server.signed_by(&key, &issuer)?;
    Ok(Certificates { authority: certificate, server: signed.pem(), key: key.serialize_pem() })
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("the folder can be written to");
    path.to_str().expect("a path of plain characters").to_owned()
}

impl RedisServer {
    /// Makes the server listen for TLS as well; `None` when it was built without.
    pub async fn with_tls(&self) -> Option<Tls> {
        let certificates = certificates().expect("certificates are made");
        // Both are also built without TLS; Valkey then ends when it is asked for it.
        let has_tls = self.command(&["CONFIG", "GET", "tls-port"]).await.contains("tls-port");
        if self.version().await.starts_with("valkey") || !has_tls {
            return None;
        }
        // Free a moment ago, and hardly taken since.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let port = free.expect("a port").port();
        let folder = self.folder.path();
        for (name, value) in [
            ("tls-auth-clients", "no"),
            ("tls-cert-file", &file(folder, "server.pem", &certificates.server)),
            ("tls-key-file", &file(folder, "server.key", &certificates.key)),
            ("tls-ca-cert-file", &file(folder, "authority.pem", &certificates.authority)),
            ("tls-port", &port.to_string()),
        ] {
            let answer = self.command(&["CONFIG", "SET", name, value]).await;
            assert_eq!(answer, "OK", "{name}");
        }
        let url = format!("rediss://localhost:{port}/");
        Some(Tls { url, authority: certificates.authority })
    }
}
