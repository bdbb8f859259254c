//! Jobs that fail, panic and are dropped, and leave nothing locked:
//!
//! `cargo run -p lock-memory --example failing_job`
#![expect(clippy::print_stdout, clippy::panic, reason = "it shows what it does, panics included")]

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use lock_core::{LockManager, OwnerId};
use lock_memory::MemoryBackend;
use tokio::time::timeout;

const KEY: &str = "report";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("worker-1")?);

    // The outer result says whether the lock was held throughout, the inner one is the job's own.
    let failed: Result<(), &str> = manager.hold(KEY, async |_| Err("the disk is full")).await?;
    println!("the job failed: {failed:?}");
    show(&manager).await?;

    let panicking = tokio::spawn({
        let manager = manager.clone();
        async move { manager.hold(KEY, async |_| panic!("a bug in the job")).await }
    });
    println!("the job panicked: {}", panicking.await.is_err());
    show(&manager).await?;

    // Dropping the job drops the guard, and the manager releases in the background.
    let endless = manager.hold(KEY, async |_| pending::<()>().await);
    println!("the job was dropped: {}", timeout(Duration::from_millis(10), endless).await.is_err());
    // The next acquire waits for that release.
    let next = manager.acquire(KEY).wait(Duration::from_secs(1));
    println!("the next holds under token {}", next.hold(async |guard| guard.token()).await?);
    show(&manager).await?;

    manager.shutdown().await;
    Ok(())
}

async fn show(manager: &LockManager) -> Result<(), Box<dyn Error>> {
    let seen = manager.inspect(KEY).await?.value;
    println!("    holders: {}, waiters: {}", seen.holders, seen.waiting);
    if seen.holders + seen.waiting > 0 {
        return Err("something is left locked".into());
    }
    Ok(())
}
