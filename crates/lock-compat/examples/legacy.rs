//! Atlantis' locking interface over any lock store, with a queue beside it:
//!
//! `cargo run -p lock-compat --example legacy`
#![expect(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;
use std::time::Duration;

use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::{Project, ProjectLock, PullRequest, Timestamp, User};
use lock_compat::{AcquireOptions, LegacyBackend, LockAdapter};
use lock_core::{LockManager, OwnerId, Priority};
use lock_memory::MemoryBackend;

/// The lock that a pull request asks for.
fn lock_of(num: i64, user: &str) -> ProjectLock {
    let mut pull = PullRequest::default();
    pull.num = num;
    ProjectLock::new(project(), pull, User::new(user), "default", Timestamp::default())
}

fn project() -> Project {
    Project::new("acme/infra", "modules/vpc", "")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("atlantis")?);
    let store = LockAdapter::new(manager, MemoryDocuments::new());

    // As Atlantis asks: the second pull request is refused, and told who holds.
    let (is_acquired, _) = store.try_lock(lock_of(7, "alice")).await?;
    println!("pull request 7 has the lock: {is_acquired}");
    let (is_acquired, holder) = store.try_lock(lock_of(8, "bob")).await?;
    println!("pull request 8 has the lock: {is_acquired}, it is with {}", holder.pull.num);

    // What Atlantis lacks: pull request 8 waits for its turn.
    let waiting = tokio::spawn({
        let store = store.clone();
        let options = AcquireOptions::default().with_priority(Priority::High);
        let options = options.with_wait(Duration::from_secs(60));
        async move { store.acquire(lock_of(8, "bob"), &options).await }
    });
    let place = loop {
        let pull = lock_of(8, "bob").pull;
        match store.queue_position(&project(), "default", &pull).await? {
            Some(place) if place.position > 0 => break place,
            // It has not joined the queue yet.
            _ => tokio::task::yield_now().await,
        }
    };
    println!("pull request 8 waits at position {} of {}", place.position, place.waiting);

    // Atlantis' unlock hands the lock to the head of the queue.
    let unlocked = store.unlock(&project(), "default").await?;
    println!("pull request 7 was unlocked: {}", unlocked.is_some());
    println!("pull request 8 has the lock: {}", waiting.await??.pull.num == 8);
    for lock in store.list().await?.locks {
        println!("listed: {} by pull request {}", lock.project.path, lock.pull.num);
    }
    Ok(())
}
