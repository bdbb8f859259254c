//! Serves a store: `serve ADDRESS STORE_URL STATE_FOLDER`, with `memory:` or `sqlite:PATH`.

#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::error::Error;
use std::sync::Arc;

use lock_core::LockStore;
use lock_memory::MemoryBackend;
use lock_server::{FileStates, Service, ServiceConfig};
use lock_sqlite::SqliteConfig;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(url), Some(folder)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: serve ADDRESS STORE_URL STATE_FOLDER".into());
    };
    let store: Arc<dyn LockStore> = match url.strip_prefix("sqlite:") {
        Some(path) => Arc::new(SqliteConfig::new(path).open()?),
        None => Arc::new(MemoryBackend::new()),
    };
    let service = Service::new(store, ServiceConfig::new());
    let service = service.with_terraform(Arc::new(FileStates::new(folder)));
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    service.serve(listener, std::future::pending()).await;
    Ok(())
}
