//! Events: what happens to a key is told to those who watch, if the store offers that.

use std::future::poll_fn;
use std::time::Duration;

use lock_core::{
    Change, ChangeKind, ChangeKinds, EventFilter, EventStream, LockEvent, Mode, TransferTo, Waiter,
    Watched,
};

use crate::World;

async fn watch(world: &World, filter: EventFilter) -> EventStream {
    world.connect().await.watch(&filter).await.expect("the store gives events")
}

/// The next event, which must come soon.
async fn next(events: &mut EventStream) -> LockEvent {
    let next = poll_fn(|cx| events.as_mut().poll_next(cx));
    match tokio::time::timeout(Duration::from_secs(5), next).await {
        Ok(Some(Watched::Event(event))) => event,
        other => panic!("expected an event, got {other:?}"),
    }
}

/// The one request that waits for `key`.
async fn waiter(world: &World, key: &str) -> Waiter {
    let mut waiters = world.inspect(key).await.waiters;
    assert_eq!(waiters.len(), 1, "one request waits");
    waiters.remove(0)
}

/// Who watches a key sees what happens to it, in order and with the leases that it is about.
pub async fn events_tell_the_story_of_a_key(world: World) {
    if !world.expected().events {
        return;
    }
    let mut events = watch(&world, EventFilter::all()).await;
    let (alice, bob) = (World::ask("key", "alice"), World::queueing("key", "bob"));
    let held = world.granted(&alice).await;
    world.queued(&bob).await;
    let waiting = waiter(&world, "key").await;
    world.released(&alice).await;
    let handed = world.only_lease("key").await;
    let claimed = world.granted(&bob).await;
    world.released(&bob).await;
    let first = next(&mut events).await;
    assert_eq!((first.at, first.change), (held.granted_at, Change::Granted(held.clone())));
    let second = next(&mut events).await;
    assert_eq!((second.at, second.change), (waiting.enqueued_at, Change::Queued(waiting)));
    assert_eq!(next(&mut events).await.change, Change::Released(held));
    let fourth = next(&mut events).await;
    assert_eq!((fourth.at, fourth.change), (handed.granted_at, Change::Granted(handed)));
    assert_eq!(next(&mut events).await.change, Change::Released(claimed));
}

/// A watcher sees the kinds, keys and owners that it asked for, and no others.
pub async fn events_are_filtered(world: World) {
    if !world.expected().events {
        return;
    }
    let kinds = ChangeKinds::NONE.with(ChangeKind::Released);
    let mut released = watch(&world, EventFilter::all().with_kinds(kinds)).await;
    let mut prefixed = watch(&world, EventFilter::all().with_prefix("a*")).await;
    let mut of_bob = watch(&world, EventFilter::all().with_owner(World::owner("bob"))).await;
    for (key, owner) in [("ab", "alice"), ("b", "bob2"), ("a*b", "bob"), ("a", "Bob")] {
        let asked = World::ask(key, owner);
        let held = world.granted(&asked).await;
        world.released(&asked).await;
        let (granted, given_back) = (Change::Granted(held.clone()), Change::Released(held));
        assert_eq!(next(&mut released).await.change, given_back);
        if key == "a*b" {
            for events in [&mut prefixed, &mut of_bob] {
                assert_eq!(next(events).await.change, granted);
                assert_eq!(next(events).await.change, given_back);
            }
        }
    }
}

/// The event of an eviction names the lease that ended, who took it and why.
pub async fn eviction_event_names_who_and_why(world: World) {
    if !world.expected().events {
        return;
    }
    for owner in ["alice", "bob"] {
        world.granted(&World::ask("key", owner).with_mode(Mode::READER)).await;
    }
    let mut events = watch(&world, EventFilter::all()).await;
    let leases = world.evict("key").await.leases;
    assert_eq!(leases.len(), 2);
    let told = [next(&mut events).await.change, next(&mut events).await.change];
    for lease in leases {
        let (by, reason) = (World::owner("admin"), World::reason());
        assert!(told.contains(&Change::Evicted { lease, by, reason }), "{told:?}");
    }
}

/// The event of a transfer names both leases, and concerns both owners.
pub async fn transfer_event_names_both(world: World) {
    if !world.expected().events {
        return;
    }
    let (alice, bob) = world.holder_and_waiter().await;
    let from = world.only_lease("key").await;
    let mut watchers = Vec::new();
    for owner in [&alice.owner, &bob.owner] {
        watchers.push(watch(&world, EventFilter::all().with_owner(owner.clone())).await);
    }
    let to = world.transferred(&alice, TransferTo::Waiter(bob.request)).await;
    for mut events in watchers {
        let (from, to) = (from.clone(), to.clone());
        assert_eq!(next(&mut events).await.change, Change::Transferred { from, to });
    }
}

/// A lease that runs out is an event as soon as anybody looks, before the grant that follows.
pub async fn expiry_is_an_event(world: World) {
    if !world.expected().events {
        return;
    }
    let held = world.granted(&World::ask("key", "alice").with_ttl(World::ttl(World::BRIEF))).await;
    world.queued(&World::queueing("key", "bob")).await;
    let mut events = watch(&world, EventFilter::all()).await;
    world.elapse(World::BRIEF).await;
    let handed = world.only_lease("key").await;
    assert_eq!(next(&mut events).await.change, Change::Expired(held));
    assert_eq!(next(&mut events).await.change, Change::Granted(handed));
}

/// A waiter that leaves and one that falls silent are events.
pub async fn lapsed_and_cancelled_waiters_are_events(world: World) {
    if !world.expected().events {
        return;
    }
    world.granted(&World::ask("key", "alice")).await;
    let mut events = watch(&world, EventFilter::all()).await;
    let bob = World::queueing("key", "bob");
    world.queued(&bob).await;
    let cancelled = waiter(&world, "key").await;
    world.dequeued(&bob).await;
    world.queued(&World::ask("key", "carol").queueing(World::keep_alive(World::BRIEF))).await;
    let lapsed = waiter(&world, "key").await;
    world.elapse(World::BRIEF).await;
    assert_eq!(world.waiting("key").await, []);
    assert_eq!(next(&mut events).await.change, Change::Queued(cancelled.clone()));
    assert_eq!(next(&mut events).await.change, Change::Cancelled(cancelled));
    assert_eq!(next(&mut events).await.change, Change::Queued(lapsed.clone()));
    assert_eq!(next(&mut events).await.change, Change::Lapsed(lapsed));
}
