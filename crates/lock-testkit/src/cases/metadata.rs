//! Metadata: what a lease carries is shown as it was given.

use lock_core::{ListQuery, Metadata};

use super::expect_eq;
use crate::World;

/// Acquires with `metadata`, at once and after a wait, and looks at it from every side.
async fn survives(world: &World, metadata: Metadata) {
    let alice = World::ask("key", "alice").with_metadata(metadata.clone());
    let bob = World::queueing("key", "bob").with_metadata(metadata.clone());
    let held = world.granted(&alice).await;
    expect_eq!(held.metadata, metadata);
    world.queued(&bob).await;
    expect_eq!(world.granted(&alice).await.metadata, metadata);
    expect_eq!(world.inspect("key").await.leases[0].metadata, metadata);
    world.released(&held).await;
    expect_eq!(world.list(ListQuery::all()).await[0].metadata, metadata);
    let held = world.heard_granted(&bob).await;
    expect_eq!(held.metadata, metadata);
    world.renewed(&held).await;
    expect_eq!(world.only_lease("key").await.metadata, metadata);
    world.released(&held).await;
}

/// Metadata is shown as it was given, whatever texts it has, also after a wait.
pub async fn metadata_is_kept(world: World) {
    let texts = [("pull", "acme/infra#7"), ("ä \"'\\{}", "1\n2\t\0\u{1f512}"), ("empty", "")];
    survives(&world, Metadata::parse(texts).expect("valid metadata")).await;
    survives(&world, Metadata::default()).await;
}

/// The largest metadata that is allowed is kept whole.
pub async fn largest_metadata_is_kept(world: World) {
    let name = "n".repeat(Metadata::MAX_NAME_BYTES);
    let text = "ü".repeat((Metadata::MAX_BYTES - name.len()) / "ü".len());
    survives(&world, Metadata::parse([(name, text)]).expect("valid metadata")).await;
}
