//! Transfer: a holder hands its lease to somebody by name, past the queue.

use std::time::Duration;

use lock_core::{
    AcquireRequest, Inspection, Metadata, Mode, Release, Renewal, RequestId, Transfer, TransferTo,
};

use crate::World;

fn to_waiter(asked: &AcquireRequest) -> TransferTo {
    TransferTo::Waiter(asked.request)
}

fn to_owner(owner: &str) -> TransferTo {
    let (owner, request) = (World::owner(owner), RequestId::random());
    TransferTo::Owner { owner, request, metadata: gift() }
}

fn gift() -> Metadata {
    Metadata::parse([("from", "alice")]).expect("valid metadata")
}

/// The key is held and waited for as it was.
async fn is_still(world: &World, before: Inspection) {
    let after = world.inspect("key").await;
    assert_eq!((after.leases, after.waiters), (before.leases, before.waiters));
}

/// A transfer reaches a waiter past those before it, on that waiter's own terms.
pub async fn transfer_to_a_waiter_passes_the_queue(world: World) {
    let (alice, bob) = world.holder_and_waiter().await;
    let ttl = World::ttl(Duration::from_secs(45));
    let carol = World::queueing("key", "carol").with_ttl(ttl).with_metadata(gift());
    world.queued(&carol).await;
    let lease = world.transferred(&alice, to_waiter(&carol)).await;
    assert_eq!((&lease.owner, lease.request), (&carol.owner, carol.request));
    assert_eq!((lease.ttl, &lease.metadata), (ttl, &carol.metadata));
    assert_eq!(world.only_lease("key").await, lease);
    assert_eq!(world.waiting("key").await, [bob.request]);
}

/// A transfer reaches an owner that did not ask, with a lease of the giver's length and mode.
pub async fn transfer_to_an_owner_that_does_not_wait(world: World) {
    let span = Duration::from_secs(45);
    let alice = World::ask("key", "alice").with_mode(Mode::READER).with_ttl(World::ttl(span));
    world.granted(&alice).await;
    let to = to_owner("dave");
    let dave = AcquireRequest::new(to.request(), alice.key.clone(), World::owner("dave"));
    let lease = world.transferred(&alice, to).await;
    assert_eq!((&lease.key, &lease.owner, lease.request), (&dave.key, &dave.owner, dave.request));
    assert_eq!((lease.mode, lease.ttl, &lease.metadata), (alice.mode, alice.ttl, &gift()));
    assert_eq!(lease.expires_at, Some(lease.granted_at.after(span)));
    assert_eq!(world.only_lease("key").await, lease);
    assert_eq!(world.renewed(&dave).await.token, lease.token);
    world.released(&dave).await;
}

/// Only the holding request can transfer: others, the next waiter too, change nothing.
pub async fn transfer_by_another_request_is_refused(world: World) {
    let (_, bob) = world.holder_and_waiter().await;
    let before = world.inspect("key").await;
    let stranger = World::ask("key", "alice");
    assert_eq!(world.transfer(&stranger, to_waiter(&bob)).await, Transfer::NotHeld);
    assert_eq!(world.transfer(&bob, to_owner("bob")).await, Transfer::NotHeld);
    is_still(&world, before).await;
}

/// A transfer to a request that does not wait is refused, and the giver goes on holding.
pub async fn transfer_to_an_absent_waiter_changes_nothing(world: World) {
    let (alice, bob) = world.holder_and_waiter().await;
    let carol = World::queueing("key", "carol");
    world.queued(&carol).await;
    world.dequeued(&carol).await;
    let before = world.inspect("key").await;
    for to in [to_waiter(&carol), to_waiter(&World::ask("key", "bob"))] {
        assert_eq!(world.transfer(&alice, to).await, Transfer::NotWaiting);
    }
    is_still(&world, before).await;
    assert_eq!(world.queued(&bob).await.position, 1);
}

/// After a transfer the giver neither renews nor releases, and gets the key back only in turn.
pub async fn giver_holds_nothing_after_transfer(world: World) {
    let (alice, bob) = world.holder_and_waiter().await;
    let lease = world.transferred(&alice, to_waiter(&bob)).await;
    assert_eq!(world.renew(&alice).await, Renewal::NotHeld);
    assert_eq!(world.release(&alice).await, Release::NotHeld);
    assert_eq!(world.only_lease("key").await, lease.clone());
    assert_eq!(world.refused(&alice).await.holder, Some(lease));
}

/// A lease that is transferred to a waiter lasts the claim window, until the waiter claims it.
pub async fn lease_transferred_to_a_waiter_must_be_claimed(world: World) {
    let (alice, window) = (World::ask("key", "alice"), Duration::from_secs(1));
    let brief = |owner| World::ask("key", owner).queueing(World::keep_alive(window));
    let (bob, carol) = (brief("bob"), brief("carol"));
    world.granted(&alice).await;
    world.queued(&bob).await;
    let lease = world.transferred(&alice, to_waiter(&bob)).await;
    assert_eq!(lease.expires_at, Some(lease.granted_at.after(window)));
    let claimed = world.granted(&bob).await;
    assert!(claimed.expires_at >= Some(lease.granted_at.after(World::TTL)), "{claimed:?}");
    world.queued(&carol).await;
    world.transferred(&bob, to_waiter(&carol)).await;
    world.elapse(window).await;
    world.free("key").await;
}

/// A transfer to a waiter of another mode is refused.
pub async fn transfer_needs_the_same_mode(world: World) {
    let (alice, writer) = world.holder_and_waiter().await;
    let reader = World::queueing("key", "reader").with_mode(Mode::READER);
    world.queued(&reader).await;
    let before = world.inspect("key").await;
    assert_eq!(world.transfer(&alice, to_waiter(&reader)).await, Transfer::NotWaiting);
    is_still(&world, before).await;
    world.transferred(&alice, to_waiter(&writer)).await;
    assert_eq!(world.waiting("key").await, [reader.request]);
}

/// A transfer to a request that holds already is refused.
pub async fn transfer_to_a_holder_changes_nothing(world: World) {
    let ask = |owner| World::ask("key", owner).with_mode(Mode::READER);
    let (alice, bob) = (ask("alice"), ask("bob"));
    world.granted(&alice).await;
    world.granted(&bob).await;
    let before = world.inspect("key").await;
    for to in [to_waiter(&bob), to_waiter(&alice)] {
        assert_eq!(world.transfer(&alice, to).await, Transfer::AlreadyHolds);
    }
    is_still(&world, before).await;
}

/// The receiver of a transfer is woken with its lease, if the store pushes grants.
pub async fn transfer_wakes_the_receiver(world: World) {
    if !world.expected().pushes_grants {
        return;
    }
    let limit = Duration::from_secs(5);
    let ((alice, _), carol) = (world.holder_and_waiter().await, World::queueing("key", "carol"));
    world.queued(&carol).await;
    let woken = World::news(world.connect().await, carol.clone(), limit);
    let given = async {
        world.elapse(Duration::from_millis(100)).await;
        world.transferred(&alice, to_waiter(&carol)).await
    };
    let (woken, given) = tokio::join!(woken, given);
    assert_eq!(woken, Some(given));
}
