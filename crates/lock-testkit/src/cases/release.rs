//! Release: only the request that holds ends its lease.

use std::time::Duration;

use lock_core::{Cancellation, Metadata, Mode, Release, Renewal, RequestId, Transfer, TransferTo};

use super::expect_eq;
use crate::World;

/// A release by another request, even of the same owner and with the right token, changes nothing.
pub async fn release_by_another_request_is_refused(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    for owner in ["alice", "bob"] {
        let name = World::name_of(&World::ask("key", owner), &held);
        expect_eq!(world.release(&name).await, Release::NotHeld);
    }
    expect_eq!(world.only_lease("key").await, held);
    world.released(&held).await;
}

/// A release that comes after the lease ran out leaves the lease of the next holder as it is.
pub async fn late_release_does_not_touch_the_successor(world: World) {
    let ttl = Duration::from_millis(300);
    let late = world.granted(&World::ask("key", "alice").with_ttl(World::ttl(ttl))).await;
    world.elapse(ttl).await;
    let lease = world.granted(&World::ask("key", "alice")).await;
    expect_eq!(world.release(&late).await, Release::NotHeld);
    expect_eq!(world.only_lease("key").await, lease);
}

/// A lease that is over can be neither released nor cancelled, evicted, renewed or handed over,
/// although nobody looked at its key since.
pub async fn over_lease_cannot_be_used(world: World) {
    let requests = ["released", "cancelled", "evicted", "renewed", "transferred"]
        .map(|key| World::ask(key, "alice").with_ttl(World::ttl(World::BRIEF)))
        .map(|request| request.with_mode(Mode::READER));
    let mut leases = Vec::new();
    for request in &requests {
        leases.push(world.granted(request).await);
        let mut twin = request.clone();
        twin.id = RequestId::random();
        world.granted(&twin).await;
    }
    world.elapse(World::BRIEF).await;
    expect_eq!(world.release(&leases[0]).await, Release::NotHeld);
    expect_eq!(world.cancel(&requests[1]).await, Cancellation::Absent);
    expect_eq!(world.evict("evicted").await.leases, []);
    expect_eq!(world.renew(&leases[3], leases[3].ttl).await, Renewal::NotHeld);
    let (owner, request) = (World::owner("bob"), RequestId::random());
    let to = TransferTo::Owner { owner, request, metadata: Metadata::default() };
    expect_eq!(world.transfer(&leases[4], to).await, Transfer::NotHeld);
    for request in &requests {
        world.free(request.key.as_str()).await;
    }
}

/// A request that waits has nothing to release, and goes on waiting.
pub async fn waiting_request_cannot_release(world: World) {
    let (held, waiter) = world.holder_and_waiter().await;
    let name = World::name_of(&waiter, &held);
    expect_eq!(world.release(&name).await, Release::NotHeld);
    expect_eq!(world.only_lease("key").await, held);
    expect_eq!(world.waiting("key").await, [waiter.id]);
}

/// A release of a key that nobody holds, or ever held, is answered by `NotHeld`.
pub async fn release_of_a_free_key_is_not_held(world: World) {
    let request = World::ask("key", "alice");
    expect_eq!(world.release(&World::unknown_lease(&request)).await, Release::NotHeld);
    let held = world.granted(&request).await;
    world.released(&held).await;
    let name = World::name_of(&World::ask("key", "bob"), &held);
    expect_eq!(world.release(&name).await, Release::NotHeld);
    world.free("key").await;
}
