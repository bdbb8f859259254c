//! Bytes behind the back of an adapter, for fixtures.

use lock_core::{Attempt, LockManager, Metadata, Ttl};

use crate::documents::DocumentStore;
use crate::legacy::ProjectLock;
use crate::{LegacyBackend, LockAdapter};

/// Puts a document in the place of the one of this name.
pub async fn put_document(documents: &dyn DocumentStore, name: &str, bytes: &[u8]) {
    let revision = documents.read(name).await.expect("it reads").map(|it| it.revision);
    let _ = documents.replace(name, revision, Some(bytes)).await.expect("it writes");
}

/// Holds the key of a lock with these bytes, which are text, in its place.
pub async fn put_lease(adapter: &LockAdapter, lock: &ProjectLock, bytes: &[u8]) {
    assert!(adapter.try_lock(lock.clone()).await.expect("it locks").0, "it was free");
    let (lease, _) = adapter.carried(lock).await.expect("it inspects").expect("it is held");
    let manager: &LockManager = adapter.manager();
    assert!(manager.evict(&lease, "for a damaged one").await.expect("it unlocks"));
    let damaged = String::from_utf8(bytes.to_vec()).expect("metadata is text");
    let metadata = Metadata::parse([("lock", damaged)]).expect("it is short");
    let attempt = manager.try_acquire(lease.key).ttl(Ttl::Never).metadata(metadata).await;
    let Ok(Attempt::Acquired(guard)) = attempt else { panic!("it is free again") };
    guard.into_lease().await.expect("it is held");
}
