//! Listing: every lease that is alive, page by page.

use std::num::NonZeroU32;
use std::slice;
use std::time::Duration;

use lock_core::{AcquireRequest, Cursor, ErrorKind, Lease, ListQuery, Mode, Operation, RequestId};

use super::expect_eq;
use crate::World;

fn pages_of(limit: u32) -> ListQuery {
    ListQuery::all().with_limit(NonZeroU32::new(limit).expect("a page holds something"))
}

/// Asks for all keys, and answers the leases in the order in which the world lists them.
async fn hold(world: &World, requests: impl IntoIterator<Item = AcquireRequest>) -> Vec<Lease> {
    let mut leases = Vec::new();
    for request in requests {
        leases.push(world.granted(&request).await);
    }
    leases.sort_by_key(|lease| (lease.key.clone(), lease.request));
    leases
}

/// Fifty leases on pages of seven are each listed once, as they were granted.
pub async fn every_lease_is_listed_once(world: World) {
    let held = hold(&world, (0..50).map(|n| World::ask(&format!("key/{n}"), "alice"))).await;
    expect_eq!(world.list(pages_of(7)).await, held);
    expect_eq!(world.list(pages_of(50)).await, held);
    expect_eq!(world.list(ListQuery::all()).await, held);
}

/// A prefix means itself, whatever characters it or the keys have.
pub async fn listing_filters_by_prefix(world: World) {
    let keys =
        ["a*b/1", "a*b/2", "axb/1", "a", "A*b", "a?", "a?b", "a[x]", "ax", "a\\*b", "ä*", "*"];
    let held = hold(&world, keys.map(|key| World::ask(key, "alice"))).await;
    for prefix in ["", "a", "a*", "a*b/", "a?", "a[x", "[", "a\\", "*", "?", "ä", "A", "a*b/1", "b"]
    {
        let listed = world.list(pages_of(2).with_prefix(prefix)).await;
        let named = |lease: &&Lease| lease.key.as_str().starts_with(prefix);
        expect_eq!(listed, held.iter().filter(named).cloned().collect::<Vec<_>>(), "{prefix}");
    }
}

/// Only the leases of the very same owner are listed, if one is named.
pub async fn listing_filters_by_owner(world: World) {
    let owners = ["alice", "alice2", "Alice", "al*", "alice:x"];
    let ask = |owner| {
        [("x", owner), ("y", owner)]
            .map(|(key, owner): (&str, &str)| World::ask(&format!("{key}/{owner}"), owner))
    };
    let held = hold(&world, owners.into_iter().flat_map(ask)).await;
    for owner in owners.map(World::owner) {
        let listed = world.list(pages_of(1).with_owner(owner.clone())).await;
        let theirs: Vec<_> = held.iter().filter(|lease| lease.owner == owner).cloned().collect();
        expect_eq!(listed, theirs, "{owner}");
        let listed = world.list(ListQuery::all().with_owner(owner).with_prefix("y/")).await;
        expect_eq!(listed, &theirs[1..]);
    }
    expect_eq!(world.list(ListQuery::all().with_owner(World::owner("bob"))).await, []);
}

/// A request that waits is not listed until it is granted.
pub async fn waiters_are_not_listed(world: World) {
    let (alice, bob) = (World::ask("key", "alice"), World::queueing("key", "bob"));
    let held = world.granted(&alice).await;
    world.queued(&bob).await;
    expect_eq!(world.list(ListQuery::all()).await, slice::from_ref(&held));
    expect_eq!(world.list(ListQuery::all().with_owner(bob.owner.clone())).await, []);
    world.released(&held).await;
    let held = world.granted(&bob).await;
    expect_eq!(world.list(ListQuery::all()).await, [held]);
}

/// A lease that is held from the first page to the last is listed, whatever happens in between:
/// others come and go, and its own end is moved both ways.
pub async fn lease_held_throughout_is_listed_despite_changes(world: World) {
    let passing = |n: u32| World::ask(&format!("key/{n}/passing"), "bob");
    let held = hold(&world, (0..30).map(|n| World::ask(&format!("key/{n}"), "alice"))).await;
    hold(&world, (0..10).map(passing)).await;
    let (mut query, mut listed) = (pages_of(4), Vec::<RequestId>::new());
    for turn in 0.. {
        let page = world.store().list(&query).await.expect("list answers").value;
        listed.extend(page.items.iter().map(|lease| lease.request));
        let Some(next) = page.next else { break };
        query = query.after(next);
        expect_eq!(world.evict(&format!("key/{turn}/passing")).await.leases.len(), 1);
        hold(&world, [passing(10 + turn)]).await;
        for (n, lease) in (1..).zip(&held).skip(turn as usize % 3).step_by(3) {
            let ttl = World::ttl(Duration::from_secs(20 + n * 7 % 40));
            world.renewed_for(lease, ttl).await;
        }
    }
    for lease in held {
        assert!(listed.contains(&lease.request), "{} is missing", lease.key);
    }
}

/// A cursor that is none of the store's own is refused as invalid.
pub async fn foreign_cursor_is_refused(world: World) {
    let held = hold(&world, (0..3).map(|n| World::ask(&format!("key/{n}"), "alice"))).await;
    for text in ["", "no cursor of any store", "ünüsable".repeat(9).as_str()] {
        let query = ListQuery::all().after(Cursor::new(text.to_owned()));
        let error = world.store().list(&query).await.expect_err("the cursor is refused");
        expect_eq!((error.kind(), error.operation()), (ErrorKind::InvalidInput, Operation::List));
        assert!(!error.is_unknown(), "nothing was done");
    }
    expect_eq!(world.list(pages_of(2)).await, held);
}

/// A lease that is over is not listed any more.
pub async fn over_leases_are_not_listed(world: World) {
    let ttl = World::ttl(World::BRIEF);
    let brief = |n| World::ask(&format!("key/{n}"), "alice").with_ttl(ttl);
    hold(&world, (0..5).map(brief)).await;
    let lasting = hold(&world, [World::ask("key/lasting", "alice")]).await;
    world.elapse(World::BRIEF).await;
    expect_eq!(world.list(pages_of(2)).await, lasting);
    expect_eq!(world.list(ListQuery::all().with_owner(World::owner("alice"))).await, lasting);
}

/// Leases that share a key are each listed, also when a page ends between them.
pub async fn shared_leases_are_listed_each(world: World) {
    let ask = |owner| World::ask("key", owner).with_mode(Mode::READER);
    let mut held = hold(&world, ["alice", "bob", "bob", "carol", "dave"].map(ask)).await;
    held.extend(hold(&world, [World::ask("other", "alice")]).await);
    expect_eq!(world.list(pages_of(1)).await, held);
    expect_eq!(world.list(pages_of(2)).await, held);
    let bobs = world.list(pages_of(1).with_owner(World::owner("bob"))).await;
    expect_eq!(bobs.len(), 2);
}
