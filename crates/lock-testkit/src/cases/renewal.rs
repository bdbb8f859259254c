//! Renewal: a lease lasts longer for the request that holds it, and for nobody else.

use std::time::Duration;

use lock_core::{AcquireRequest, Release, RenewRequest, Renewal};

use crate::World;

/// A request for `key` whose lease lasts this many milliseconds.
fn brief(key: &str, owner: &str, millis: u64) -> AcquireRequest {
    World::ask(key, owner).with_ttl(World::ttl(Duration::from_millis(millis)))
}

/// A renewed lease lasts its ttl from the renewal, exactly.
pub async fn renewal_extends_the_lease(world: World) {
    let ttl = Duration::from_secs(2);
    let asked = brief("key", "alice", 2000);
    let lease = world.granted(&asked).await;
    world.elapse(ttl / 2).await;

    let before = world.inspect("key").await.observed_at;
    let renewed = world.renewed(&asked).await;
    let after = world.inspect("key").await.observed_at;
    assert!(renewed.expires_at >= Some(before.after(ttl)));
    assert!(renewed.expires_at <= Some(after.after(ttl)));
    assert_eq!(lease.with_expires_at(renewed.expires_at), renewed);

    world.elapse(ttl / 2).await;
    assert_eq!(world.refused(&World::ask("key", "bob")).await.holder, Some(renewed));
    world.elapse(ttl / 2).await;
    world.granted(&World::ask("key", "bob")).await;
}

/// The ttl of a renewal counts from then on, longer or shorter than the one before.
pub async fn renewal_can_change_the_ttl(world: World) {
    let asked = brief("key", "alice", 1000);
    world.granted(&asked).await;
    let longer = world.renewed(&brief("key", "alice", 4000).with_request(&asked)).await;
    assert_eq!(longer.ttl, World::ttl(Duration::from_millis(4000)));
    world.elapse(Duration::from_millis(1500)).await;
    assert_eq!(world.granted(&asked).await, longer);

    let shorter = world.renewed(&brief("key", "alice", 300).with_request(&asked)).await;
    assert_eq!(shorter.ttl, World::ttl(Duration::from_millis(300)));
    world.elapse(Duration::from_millis(300)).await;
    world.free("key").await;
}
