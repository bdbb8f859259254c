//! Who sleeps until its request is granted, and how it is woken.

use dashmap::DashMap;
use foldhash::fast::RandomState;
use lock_core::{Lease, LockKey, RequestId};
use tokio::sync::oneshot;

/// The sleepers by request.
///
/// A sleeper enters under the lock of its key, and the grant is written under the same lock before
/// the sleeper is woken: so no grant falls between looking and falling asleep.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    awaited: DashMap<Awaited, Vec<oneshot::Sender<Lease>>, RandomState>,
}

type Awaited = (RequestId, LockKey);

/// One sleeper; it leaves when dropped.
#[derive(Debug)]
pub(crate) struct Sleeper<'a> {
    all: &'a Sleepers,
    awaited: Awaited,
    news: oneshot::Receiver<Lease>,
}

impl Sleepers {
    /// Enters a sleeper.
    pub(crate) fn enter(&self, request: RequestId, key: &LockKey) -> Sleeper<'_> {
        let (sender, news) = oneshot::channel();
        let awaited = (request, key.clone());
        self.awaited.entry(awaited.clone()).or_default().push(sender);
        Sleeper { all: self, awaited, news }
    }

    /// Wakes those whose requests were granted these leases.
    pub(crate) fn wake(&self, granted: Vec<Lease>) {
        for lease in granted {
            let awaited = (lease.request, lease.key.clone());
            for sender in self.awaited.remove(&awaited).into_iter().flat_map(|(_, all)| all) {
                // A sleeper that is just leaving finds its lease when it asks again.
                drop(sender.send(lease.clone()));
            }
        }
    }
}

impl Sleeper<'_> {
    /// Sleeps until the request is granted.
    pub(crate) async fn news(&mut self) -> Option<Lease> {
        (&mut self.news).await.ok()
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.news.close();
        self.all.awaited.remove_if_mut(&self.awaited, |_, senders| {
            senders.retain(|sender| !sender.is_closed());
            senders.is_empty()
        });
    }
}
