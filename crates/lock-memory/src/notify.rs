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
    by_request: DashMap<(RequestId, LockKey), oneshot::Sender<Lease>, RandomState>,
}

/// One sleeper; it leaves when dropped.
#[derive(Debug)]
pub(crate) struct Sleeper<'a> {
    all: &'a Sleepers,
    awaited: (RequestId, LockKey),
    news: oneshot::Receiver<Lease>,
}

impl Sleepers {
    /// Enters a sleeper. One that slept for the same request before is woken without news.
    pub(crate) fn enter(&self, request: RequestId, key: &LockKey) -> Sleeper<'_> {
        let (sender, news) = oneshot::channel();
        let awaited = (request, key.clone());
        self.by_request.insert(awaited.clone(), sender);
        Sleeper { all: self, awaited, news }
    }

    /// Wakes those whose requests were granted these leases.
    #[inline]
    pub(crate) fn wake(&self, granted: Vec<Lease>) {
        for lease in granted {
            if let Some((_, sender)) = self.by_request.remove(&(lease.request, lease.key.clone())) {
                // A sleeper that is just leaving finds its lease when it asks again.
                drop(sender.send(lease));
            }
        }
    }
}

impl Sleeper<'_> {
    /// Sleeps until the request is granted; `None` when somebody else sleeps for it now.
    pub(crate) async fn news(&mut self) -> Option<Lease> {
        (&mut self.news).await.ok()
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.news.close();
        self.all.by_request.remove_if(&self.awaited, |_, sender| sender.is_closed());
    }
}
