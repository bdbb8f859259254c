//! Names: a command names the lease that it means, and touches no other of the same request.

use lock_core::{
    AcquireRequest, Lease, Metadata, Release, Renewal, RequestId, Transfer, TransferTo,
};

use super::expect_eq;
use crate::World;

/// Two leases of one request, of which the first is over, and the request.
async fn twice(world: &World) -> (AcquireRequest, Lease, Lease) {
    let request = World::ask("key", "alice");
    let first = world.granted(&request).await;
    world.released(&first).await;
    let next = world.granted(&request).await;
    assert!(next.token > first.token, "{} follows {}", next.token, first.token);
    (request, first, next)
}

/// A renewal that names an earlier lease of the request that holds changes nothing.
pub async fn late_renewal_does_not_touch_the_next_lease(world: World) {
    let (_, first, next) = twice(&world).await;
    expect_eq!(world.renew(&first, World::ttl(World::BRIEF)).await, Renewal::NotHeld);
    expect_eq!(world.only_lease("key").await, next);
}

/// A release that names an earlier lease of the request that holds changes nothing.
pub async fn late_release_does_not_touch_the_next_lease(world: World) {
    let (_, first, next) = twice(&world).await;
    expect_eq!(world.release(&first).await, Release::NotHeld);
    expect_eq!(world.only_lease("key").await, next);
}

/// A transfer that names an earlier lease of the request that holds changes nothing.
pub async fn late_transfer_does_not_touch_the_next_lease(world: World) {
    let (_, first, next) = twice(&world).await;
    let (owner, request) = (World::owner("bob"), RequestId::random());
    let to = TransferTo::Owner { owner, request, metadata: Metadata::default() };
    expect_eq!(world.transfer(&first, to).await, Transfer::NotHeld);
    expect_eq!(world.only_lease("key").await, next);
}

/// An eviction that names an earlier lease of the request that holds takes nothing.
pub async fn late_eviction_does_not_touch_the_next_lease(world: World) {
    let (request, first, next) = twice(&world).await;
    assert!(world.evict_lease(&first).await.is_empty(), "nothing is there to evict");
    expect_eq!(world.only_lease("key").await, next);
    expect_eq!(world.granted(&request).await, next);
}
