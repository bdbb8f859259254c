//! A service on a port of its own, and clients of it.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use lock_atlantis_server::{AtlantisService, AtlantisServiceConfig};
use lock_compat::LockAdapter;
use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::{ProjectLock, encode};
use lock_core::{LockManager, OwnerId};
use lock_memory::MemoryBackend;
use lock_server::{Access, AuditLog};
use redis::aio::MultiplexedConnection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The scripts of Atlantis, in other words than its own.
pub(crate) static UNLOCK: LazyLock<String> = LazyLock::new(|| script("unlock_if_owned_by_pull"));
pub(crate) static SWAP: LazyLock<String> = LazyLock::new(|| script("compare_and_swap_status"));

fn script(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/scripts");
    std::fs::read_to_string(format!("{folder}/{name}.lua")).unwrap()
}

/// A service on a port of its own, which ends when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) adapter: LockAdapter,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(AtlantisServiceConfig::new(), Access::open(), None).await
    }

    pub(crate) async fn limited(config: AtlantisServiceConfig) -> Self {
        Self::with(config, Access::open(), None).await
    }

    pub(crate) async fn with(
        config: AtlantisServiceConfig,
        access: Access,
        audit: Option<AuditLog>,
    ) -> Self {
        let owner = OwnerId::parse("atlantis").unwrap();
        let manager = LockManager::new(MemoryBackend::new(), owner);
        Self::of(LockAdapter::new(manager, MemoryDocuments::new()), config, access, audit).await
    }

    pub(crate) async fn of(
        adapter: LockAdapter,
        config: AtlantisServiceConfig,
        access: Access,
        audit: Option<AuditLog>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = AtlantisService::new(adapter.clone(), access, config);
        let service = match audit {
            Some(audit) => service.with_audit(audit),
            None => service,
        };
        let serving = tokio::spawn(async move {
            service.serve(listener, None, std::future::pending()).await;
        });
        Self { address, adapter, serving }
    }

    /// A connection of redis-rs, with this password if there is one.
    pub(crate) async fn client(&self, password: Option<&str>) -> MultiplexedConnection {
        self.connect(password).await.unwrap()
    }

    pub(crate) async fn connect(
        &self,
        password: Option<&str>,
    ) -> redis::RedisResult<MultiplexedConnection> {
        let address = self.address;
        let user = password.map(|password| format!("default:{password}@")).unwrap_or_default();
        let client = redis::Client::open(format!("redis://{user}{address}/?protocol=resp3"))?;
        client.get_multiplexed_async_connection().await
    }

    pub(crate) async fn raw(&self) -> Raw {
        Raw(TcpStream::connect(self.address).await.unwrap())
    }
}

/// A connection whose bytes a test chooses.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads exactly these bytes.
    pub(crate) async fn expect(&mut self, expected: &str) {
        let mut read = vec![0; expected.len()];
        let whole = self.0.read_exact(&mut read);
        tokio::time::timeout(PATIENCE, whole).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&read), expected);
    }

    /// Reads until the service closes the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let mut read = Vec::new();
        let whole = self.0.read_to_end(&mut read);
        // A reset is an end, too.
        let _ = tokio::time::timeout(PATIENCE, whole).await.unwrap();
        String::from_utf8_lossy(&read).into_owned()
    }
}

/// A command in the bytes of the protocol.
pub(crate) fn frame(words: &[&str]) -> String {
    let parts = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), parts.collect::<String>())
}

pub(crate) fn key(lock: &ProjectLock) -> String {
    format!("pr/{}", lock_compat::legacy::LegacyKey::of(lock))
}

pub(crate) fn text(lock: &ProjectLock) -> String {
    String::from_utf8(encode(lock)).unwrap()
}

/// Sends a command.
pub(crate) async fn ask<T: redis::FromRedisValue>(
    client: &mut MultiplexedConnection,
    words: &[&str],
) -> Result<T, String> {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(client).await.map_err(|error| error.to_string())
}
