//! Measures the page of 10,000 locks: `page_timing [LOCKS]`, on memory and on a SQLite file.

#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::error::Error;
use std::sync::Arc;

use lock_core::{AcquireRequest, LockKey, LockStore, OwnerId, RequestId, Ttl};
use lock_memory::MemoryBackend;
use lock_server::{Service, ServiceConfig};
use lock_sqlite::{SqliteConfig, Synchronous};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Requests of a page of which the slowest counts.
const ROUNDS: usize = 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let locks: usize = std::env::args().nth(1).map_or(Ok(10_000), |locks| locks.parse())?;
    let folder = tempfile::tempdir()?;
    let config = SqliteConfig::new(folder.path().join("locks.db"));
    let sqlite = config.with_synchronous(Synchronous::Normal).open()?;
    measure("memory", Arc::new(MemoryBackend::new()), locks).await?;
    measure("sqlite", Arc::new(sqlite), locks).await
}

async fn measure(
    name: &str,
    store: Arc<dyn LockStore>,
    locks: usize,
) -> Result<(), Box<dyn Error>> {
    for number in 0..locks {
        let key = LockKey::parse(format!("project/{number:05}/deploy"))?;
        let request = AcquireRequest::new(RequestId::random(), key, OwnerId::parse("timing")?);
        let request = request.with_ttl(Ttl::Never);
        let _ = store.acquire(&request).await?;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let service = Service::new(store, ServiceConfig::new());
    let serves = service.clone();
    tokio::spawn(async move { serves.serve(listener, std::future::pending()).await });
    let last = locks - 1;
    for (what, path) in [
        ("first page", "/".to_owned()),
        ("search that reads all", format!("/?q={last:05}")),
        ("search for most", "/?q=deploy".to_owned()),
        ("one key", format!("/locks/project/{last:05}/deploy")),
    ] {
        let (mut slowest, mut rows) = (std::time::Duration::ZERO, 0);
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let page =
                reqwest::get(format!("{url}{path}")).await?.error_for_status()?.text().await?;
            slowest = slowest.max(start.elapsed());
            rows = page.matches("<tbody>").count();
        }
        println!("{name}: {locks} locks, {what}: {rows} shown, at most {slowest:.1?}");
    }
    service.shutdown().await;
    Ok(())
}
