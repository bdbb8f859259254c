//! Fencing tokens: each lease of a key has a higher one than all before.

use std::slice;
use std::time::Duration;

use lock_core::{Metadata, RequestId, TransferTo};

use super::expect_eq;
use crate::World;

/// Grants the key once more and releases it, and answers the token.
async fn next_token(world: &World) -> u64 {
    let lease = world.granted(&World::ask("key", "alice")).await;
    world.released(&lease).await;
    lease.token.get()
}

/// Every lease of a key has a higher token than the one before, whoever holds it.
pub async fn tokens_increase_with_every_lease(world: World) {
    let mut last = 0;
    for number in 0..50 {
        let request = World::ask("key", &format!("owner-{}", number % 3));
        let lease = world.elsewhere().await.granted(&request).await;
        assert!(lease.token.get() > last, "{} follows {last}", lease.token);
        last = lease.token.get();
        world.released(&lease).await;
    }
}

/// The lease that follows one that ran out has a higher token.
pub async fn tokens_increase_after_expiry(world: World) {
    let ttl = Duration::from_millis(200);
    let mut last = 0;
    for _ in 0..3 {
        let lease = world.granted(&World::ask("key", "alice").with_ttl(World::ttl(ttl))).await;
        assert!(lease.token.get() > last, "{} follows {last}", lease.token);
        last = lease.token.get();
        world.elapse(ttl).await;
    }
}

/// Tokens go on increasing when nothing was left of the key in between.
pub async fn tokens_increase_after_the_key_was_forgotten(world: World) {
    let mut last = 0;
    for _ in 0..100 {
        last = next_token(&world).await;
    }
    world.free("key").await;
    let at_once = next_token(&world).await;
    assert!(at_once > last, "{at_once} follows {last}");

    world.elapse(Duration::from_millis(1500)).await;
    world.free("key").await;
    let later = next_token(&world).await;
    assert!(later > at_once, "{later} follows {at_once}");
}

/// A waiter that is handed the key has a higher token than who held it before.
pub async fn promoted_lease_has_a_higher_token(world: World) {
    let (first, second) = (World::ask("key", "alice"), World::queueing("key", "bob"));
    let before = world.granted(&first).await;
    world.queued(&second).await;
    world.released(&before).await;
    let after = world.granted(&second).await;
    assert!(after.token > before.token, "{} follows {}", after.token, before.token);
}

/// A lease that was handed over by name has a higher token than the giver's.
pub async fn transferred_lease_has_a_higher_token(world: World) {
    let first = World::ask("key", "alice");
    let before = world.granted(&first).await;
    let to = TransferTo::Owner {
        owner: World::owner("bob"),
        request: RequestId::random(),
        metadata: Metadata::default(),
    };
    let after = world.transferred(&before, to).await;
    assert!(after.token > before.token, "{} follows {}", after.token, before.token);
    expect_eq!(world.inspect("key").await.leases, slice::from_ref(&after));
}

/// Leases that follow an eviction have higher tokens, with a waiter and without.
pub async fn tokens_increase_after_eviction(world: World) {
    let (first, second) = (World::ask("key", "alice"), World::queueing("key", "bob"));
    let before = world.granted(&first).await;
    world.queued(&second).await;
    expect_eq!(world.evict("key").await.leases, vec![before.clone()]);
    let waiter = world.granted(&second).await;
    assert!(waiter.token > before.token, "{} follows {}", waiter.token, before.token);

    expect_eq!(world.evict("key").await.leases, vec![waiter.clone()]);
    let newcomer = next_token(&world).await;
    assert!(newcomer > waiter.token.get(), "{newcomer} follows {}", waiter.token);
}

/// Tokens stay below 2^53, where programs that know only doubles still tell them apart.
pub async fn tokens_are_exact_in_doubles(world: World) {
    for _ in 0..20 {
        let token = next_token(&world).await;
        assert!(token < 1 << 53, "{token} is not exact in a double");
    }
}
