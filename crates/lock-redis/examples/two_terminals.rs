//! Two terminals take turns on a Redis server. Start `redis-server`, then in each terminal:
//!
//! `cargo run -p lock-redis --example two_terminals -- alice`, and `bob` in the other.
//!
//! Each holds the lock for two seconds, three times. Kill one while it holds: the other goes on when
//! the lease is over, at most five seconds later. A second argument names another server.
#![expect(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;
use std::time::Duration;

use lock_core::{LockManager, OwnerId};
use lock_redis::{RedisBackend, RedisConfig};
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let name = args.next().ok_or("a name is missing: alice, for example")?;
    let url = args.next().unwrap_or_else(|| "redis://127.0.0.1/".to_owned());
    let config = RedisConfig::parse(&url)?.with_prefix("two-terminals")?;
    let manager = LockManager::new(RedisBackend::connect(config).await?, OwnerId::parse(&name)?);
    for turn in 1..=3 {
        for held in manager.inspect("shop/prod").await?.value.leases {
            println!("{name}: {} holds the lock under token {}", held.owner, held.token);
        }
        let turns = manager.acquire("shop/prod").ttl(Duration::from_secs(5));
        let work = async |guard: &lock_core::LockGuard| {
            println!("{name}: turn {turn} of 3 under token {}", guard.token());
            sleep(Duration::from_secs(2)).await;
        };
        turns.wait(Duration::from_secs(60)).hold(work).await?;
    }
    manager.shutdown().await;
    Ok(())
}
