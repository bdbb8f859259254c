//! How long a mark lasts.

use std::time::Duration;

use lock_core::machine::MARK_SPAN;

use super::evicted;
use crate::cases::expect_eq;
use crate::{Outcome, World};

/// Five minutes after a short lease or waiter was evicted, its request may hold the key again.
pub async fn mark_ends(world: World) -> Outcome {
    let (request, _, end) = evicted(&world).await;
    let (held, waiter) = world.holder_and_waiter().await;
    world.evicted_waiter(&waiter).await;
    world.released(&held).await;
    world.elapse_long(MARK_SPAN - World::BRIEF).await?;
    for marked in [&request, &waiter] {
        expect_eq!(world.ended(marked).await, end);
    }
    world.elapse_long(World::BRIEF).await?;
    for marked in [&request, &waiter] {
        let held = world.granted(marked).await;
        world.released(&held).await;
    }
    Ok(())
}

/// The mark of a long lease or of a patient waiter lasts until its end, at most an hour.
pub async fn mark_lasts_as_long_as_the_lease(world: World) -> Outcome {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let long = World::ask("long", "alice").with_ttl(World::ttl(minutes(20)));
    let longest = World::ask("longest", "alice").with_ttl(World::ttl(minutes(90)));
    let keep_alive = World::keep_alive(minutes(20));
    let patient = World::ask("patient", "alice").queueing(keep_alive);
    for request in [&long, &longest] {
        let held = world.granted(request).await;
        world.evicted_lease(&held).await;
    }
    let held = world.granted(&World::ask("patient", "bob")).await;
    world.queued(&patient).await;
    world.evicted_waiter(&patient).await;
    world.released(&held).await;
    world.elapse_long(keep_alive.span() - World::BRIEF).await?;
    for marked in [&long, &longest, &patient] {
        expect_eq!(world.ended(marked).await, World::end_by_eviction());
    }
    world.elapse_long(minutes(20)).await?;
    for over in [&long, &patient] {
        world.granted(over).await;
    }
    expect_eq!(world.ended(&longest).await, World::end_by_eviction());
    world.elapse_long(minutes(40)).await?;
    world.granted(&longest).await;
    Ok(())
}
