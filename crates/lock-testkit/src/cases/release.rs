//! Release: only the request that holds ends its lease.

use std::time::Duration;

use lock_core::{Cancellation, Metadata, Mode, Release, Renewal, RequestId, Transfer, TransferTo};

use crate::World;

/// A release by another request, even of the same owner, changes nothing.
pub async fn release_by_another_request_is_refused(world: World) {
    let holder = World::ask("key", "alice");
    let lease = world.granted(&holder).await;
    for owner in ["alice", "bob"] {
        assert_eq!(world.release(&World::ask("key", owner)).await, Release::NotHeld);
    }
    assert_eq!(world.only_lease("key").await, lease);
    assert_eq!(world.release(&holder).await, Release::Released);
}

/// A release that comes after the lease ran out leaves the lease of the next holder as it is.
pub async fn late_release_does_not_touch_the_successor(world: World) {
    let ttl = Duration::from_millis(300);
    let late = World::ask("key", "alice").with_ttl(World::ttl(ttl));
    world.granted(&late).await;
    world.elapse(ttl).await;
    let lease = world.granted(&World::ask("key", "alice")).await;
    assert_eq!(world.release(&late).await, Release::NotHeld);
    assert_eq!(world.only_lease("key").await, lease);
}

/// A lease that is over can be neither released nor cancelled, evicted, renewed or handed over,
/// although nobody looked at its key since.
pub async fn over_lease_cannot_be_used(world: World) {
    let asked = ["released", "cancelled", "evicted", "renewed", "transferred"]
        .map(|key| World::ask(key, "alice").with_ttl(World::ttl(World::BRIEF)))
        .map(|asked| asked.with_mode(Mode::READER));
    for asked in &asked {
        world.granted(asked).await;
        let mut twin = asked.clone();
        twin.request = RequestId::random();
        world.granted(&twin).await;
    }
    world.elapse(World::BRIEF).await;
    let [released, cancelled, evicted, renewed, transferred] = &asked;
    assert_eq!(world.release(released).await, Release::NotHeld);
    assert_eq!(world.cancel(cancelled).await, Cancellation::Absent);
    assert_eq!(world.evict(evicted.key.as_str()).await.leases, []);
    assert_eq!(world.renew(renewed).await, Renewal::NotHeld);
    let (owner, request) = (World::owner("bob"), RequestId::random());
    let to = TransferTo::Owner { owner, request, metadata: Metadata::default() };
    assert_eq!(world.transfer(transferred, to).await, Transfer::NotHeld);
    for asked in &asked {
        world.free(asked.key.as_str()).await;
    }
}

/// A request that waits has nothing to release, and goes on waiting.
pub async fn waiting_request_cannot_release(world: World) {
    let (holder, waiter) = world.holder_and_waiter().await;
    assert_eq!(world.release(&waiter).await, Release::NotHeld);
    assert_eq!(world.holding("key").await, vec![holder.request]);
    assert_eq!(world.waiting("key").await, vec![waiter.request]);
}

/// A release of a key that nobody holds, or ever held, is answered by `NotHeld`.
pub async fn release_of_a_free_key_is_not_held(world: World) {
    let asked = World::ask("key", "alice");
    assert_eq!(world.release(&asked).await, Release::NotHeld);
    world.granted(&asked).await;
    assert_eq!(world.release(&asked).await, Release::Released);
    assert_eq!(world.release(&World::ask("key", "bob")).await, Release::NotHeld);
    world.free("key").await;
}
