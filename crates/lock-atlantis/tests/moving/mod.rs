//! Shared by the tests of migrations: a target, records, and the move of a whole source.

use lock_atlantis::migrate::{Migration, Record, RecordStore, Report, Source};
use lock_compat::LockAdapter;
use lock_compat::conformance::lock;
use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::ProjectLock;
use lock_core::{LockManager, OwnerId};
use lock_memory::MemoryBackend;

pub(crate) fn over(documents: MemoryDocuments) -> LockAdapter {
    let owner = OwnerId::parse("atlantis").unwrap();
    LockAdapter::new(LockManager::new(MemoryBackend::new(), owner), documents)
}

pub(crate) fn adapter() -> LockAdapter {
    over(MemoryDocuments::new())
}

/// The lock of a pull request of this number.
pub(crate) fn numbered(number: i64) -> ProjectLock {
    lock("acme/infra", &format!("modules/{number}"), "default", number)
}

/// All contents of a store, to the byte.
pub(crate) async fn content(store: &dyn Source) -> Vec<(String, Vec<u8>)> {
    let records = store.records().await.unwrap();
    assert_eq!(records.damaged, []);
    let entry = |record: &Record| (record.place().to_owned(), record.encode());
    let mut content: Vec<_> = records.records.iter().map(entry).collect();
    content.sort();
    content
}

/// Moves everything to an empty target, and then finds nothing left to move; returns the number of
/// records, which arrive to the byte.
pub(crate) async fn assert_all_moves(
    from: &dyn Source,
    to: &dyn RecordStore,
    records: usize,
) -> Report {
    let report = Migration::new(from, to).run().await.unwrap();
    let again = Migration::new(from, to).run().await.unwrap();
    for (report, moved) in [(&report, records), (&again, 0)] {
        assert!(report.is_clean(), "{report}");
        assert_eq!((report.moved.len(), report.same.len()), (moved, records - moved), "{report}");
    }
    let arrived = content(to).await;
    assert_eq!(arrived.len(), records);
    assert!(arrived == content(from).await, "what arrived is something else");
    report
}
