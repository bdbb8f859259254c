//! Who sleeps until its request is granted, and how it is woken.

use dashmap::{DashMap, Entry};
use foldhash::fast::RandomState;
use lock_core::{Lease, LockKey, RequestId};
use tokio::sync::oneshot;

/// The sleepers by request.
///
/// A sleeper enters under the lock of its key, and the grant is written under the same lock before
/// the sleeper is woken: so no grant falls between looking and falling asleep.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    awaited: DashMap<Awaited, Waking, RandomState>,
}

type Awaited = (RequestId, LockKey);

/// Whom a grant wakes: nearly always one, and rarely those more that sleep for the same request.
#[derive(Debug)]
struct Waking {
    last: oneshot::Sender<Lease>,
    earlier: Vec<oneshot::Sender<Lease>>,
}

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
        match self.awaited.entry(awaited.clone()) {
            Entry::Occupied(mut entry) => {
                let waking = entry.get_mut();
                waking.earlier.push(std::mem::replace(&mut waking.last, sender));
            }
            Entry::Vacant(entry) => {
                drop(entry.insert(Waking { last: sender, earlier: Vec::new() }));
            }
        }
        Sleeper { all: self, awaited, news }
    }

    /// Wakes those whose requests were granted these leases.
    pub(crate) fn wake(&self, granted: Vec<Lease>) {
        for lease in granted {
            let awaited = (lease.request, lease.key.clone());
            let Some((_, waking)) = self.awaited.remove(&awaited) else { continue };
            // A sleeper that is just leaving finds its lease when it asks again.
            for sender in waking.earlier {
                drop(sender.send(lease.clone()));
            }
            drop(waking.last.send(lease));
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
        self.all.awaited.remove_if_mut(&self.awaited, |_, waking| {
            waking.earlier.retain(|sender| !sender.is_closed());
            if !waking.last.is_closed() {
                return false;
            }
            match waking.earlier.pop() {
                Some(sender) => {
                    waking.last = sender;
                    false
                }
                None => true,
            }
        });
    }
}
