//! Mutual exclusion: of all requests for a key, one holds.

use crate::World;

/// A second owner is refused, and learns who holds.
pub async fn second_owner_is_refused(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    let place = world.refused(&World::ask("key", "bob")).await;
    assert_eq!(place.holder, Some(held));
    assert_eq!((place.holders, place.position, place.waiting), (1, 1, 0));
}
