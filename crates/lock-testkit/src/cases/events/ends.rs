//! Ends by force and by time alone.

use std::slice;

use lock_core::{Change, EventFilter, TransferTo};

use super::{next, watch};
use crate::cases::expect_eq;
use crate::{Outcome, World};

/// The event of an eviction names the lease or the waiter that ended, who ended it and why.
pub async fn eviction_event_names_who_and_why(world: World) -> Outcome {
    world.needs_events()?;
    let (held, bob) = world.holder_and_waiter().await;
    let waiter = world.only_waiter("key").await;
    let mut events = watch(&world, EventFilter::all()).await;
    expect_eq!(world.evict_waiter(&bob).await.waiter, Some(waiter.clone()));
    expect_eq!(world.evict("key").await.leases, slice::from_ref(&held));
    let (by, reason) = (World::owner("admin"), World::reason());
    let (why, who) = (reason.clone(), by.clone());
    expect_eq!(next(&mut events).await.change, Change::WaiterEvicted { waiter, by, reason });
    let evicted = Change::Evicted { lease: held, by: who, reason: why };
    expect_eq!(next(&mut events).await.change, evicted);
    Ok(())
}

/// The event of a transfer names both leases, and concerns both owners.
pub async fn transfer_event_names_both(world: World) -> Outcome {
    world.needs_events()?;
    let (from, bob) = world.holder_and_waiter().await;
    let mut watchers = Vec::new();
    for owner in [&from.owner, &bob.owner] {
        watchers.push(watch(&world, EventFilter::all().with_owner(owner.clone())).await);
    }
    let to = world.transferred(&from, TransferTo::Waiter(bob.id)).await;
    let transferred = Change::Transferred { from, to };
    for mut events in watchers {
        expect_eq!(next(&mut events).await.change, transferred);
    }
    Ok(())
}

/// A lease that runs out is an event as soon as anybody looks, before the grant that follows.
pub async fn expiry_is_an_event(world: World) -> Outcome {
    world.needs_events()?;
    let held = world.granted(&World::ask("key", "alice").with_ttl(World::ttl(World::BRIEF))).await;
    world.queued(&World::queueing("key", "bob")).await;
    let mut events = watch(&world, EventFilter::all()).await;
    world.elapse(World::BRIEF).await;
    let handed = world.only_lease("key").await;
    expect_eq!(next(&mut events).await.change, Change::Expired(held.clone()));
    expect_eq!(next(&mut events).await.change, Change::Granted(handed.clone()));
    Ok(())
}

/// A waiter that leaves and one that falls silent are events.
pub async fn lapsed_and_cancelled_waiters_are_events(world: World) -> Outcome {
    world.needs_events()?;
    world.granted(&World::ask("key", "alice")).await;
    let mut events = watch(&world, EventFilter::all()).await;
    let bob = World::queueing("key", "bob");
    world.queued(&bob).await;
    let cancelled = world.only_waiter("key").await;
    world.dequeued(&bob).await;
    world.queued(&World::ask("key", "carol").queueing(World::keep_alive(World::BRIEF))).await;
    let lapsed = world.only_waiter("key").await;
    world.elapse(World::BRIEF).await;
    expect_eq!(world.waiting("key").await, []);
    expect_eq!(next(&mut events).await.change, Change::Queued(cancelled.clone()));
    expect_eq!(next(&mut events).await.change, Change::Cancelled(cancelled.clone()));
    expect_eq!(next(&mut events).await.change, Change::Queued(lapsed.clone()));
    expect_eq!(next(&mut events).await.change, Change::Lapsed(lapsed.clone()));
    Ok(())
}
