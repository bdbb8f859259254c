//! Mutual exclusion: of all requests for a key, one holds.

use lock_core::{Acquisition, Release};

use crate::World;

/// A second owner is refused, and learns who holds.
pub async fn second_owner_is_refused(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    let place = world.refused(&World::ask("key", "bob")).await;
    assert_eq!(place.holder, Some(held));
    assert_eq!((place.holders, place.position, place.waiting), (1, 1, 0));
}

/// Of many that ask at the same time from many connections, one is granted the key.
pub async fn one_winner_among_many(world: World) {
    let mut asking = Vec::new();
    for number in 0..20 {
        let store = world.connect().await;
        let asked = World::ask("key", &format!("owner-{number}"));
        asking.push(tokio::spawn(async move { store.acquire(&asked).await }));
    }
    let (mut leases, mut holders) = (Vec::new(), Vec::new());
    for answer in asking {
        match answer.await.expect("the task ends").expect("acquire answers") {
            Acquisition::Granted(lease) => leases.push(lease),
            Acquisition::Held(place) => holders.extend(place.holder),
            other => panic!("expected a grant or a refusal, got {other:?}"),
        }
    }
    assert_eq!(leases.len(), 1);
    assert_eq!(holders, vec![leases[0].clone(); 19]);
    assert_eq!(world.inspect("key").await.leases, leases);
}

/// Another request of the very owner that holds is refused like anybody's.
pub async fn same_owner_needs_its_own_turn(world: World) {
    let first = World::ask("key", "alice");
    let held = world.granted(&first).await;
    let second = World::ask("key", "alice");
    assert_eq!(world.refused(&second).await.holder, Some(held));
    assert_eq!(world.release(&first).await, Release::Released);
    assert_eq!(world.granted(&second).await.request, second.request);
}

/// A key that was released is granted to whoever asks next, from wherever.
pub async fn released_key_is_free_again(world: World) {
    let first = World::ask("key", "alice");
    world.granted(&first).await;
    assert_eq!(world.release(&first).await, Release::Released);
    world.free("key").await;

    let second = World::ask("key", "bob");
    let answer = world.connect().await.acquire(&second).await.expect("acquire answers");
    let Acquisition::Granted(lease) = answer else { panic!("expected a grant, got {answer:?}") };
    assert_eq!((lease.owner, lease.request), (second.owner, second.request));
}

/// A request that was refused neither waits nor holds, then or later.
pub async fn refused_request_leaves_nothing_behind(world: World) {
    let first = World::ask("key", "alice");
    let held = world.granted(&first).await;
    let refused = World::ask("key", "bob");
    world.refused(&refused).await;

    let seen = world.inspect("key").await;
    assert_eq!((seen.leases, seen.waiting, seen.waiters), (vec![held], 0, vec![]));
    let waits = world.store().waits_of(&refused.owner).await.expect("waits_of answers");
    assert_eq!(waits, vec![]);
    assert_eq!(world.release(&first).await, Release::Released);
    world.free("key").await;
}
