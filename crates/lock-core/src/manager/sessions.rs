//! What sessions hold, and what they have dropped that is on its way to the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{Lease, SessionId};

/// What sessions hold, and the releases and cancels on their way to the store.
///
/// The next request of a session waits for its releases. Otherwise the store would show a session that
/// waits for what it has dropped already, which looks like a deadlock.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    counts: Mutex<HashMap<(SessionId, Part), usize>>,
    departed: Notify,
}

/// What is counted of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    Held,
    Departing,
}

/// A lease or a release of a session, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    sessions: Arc<Sessions>,
    session: SessionId,
    part: Part,
}

impl Sessions {
    /// Counts a lease that a session holds beside its own request.
    pub(super) fn hold(self: &Arc<Self>, lease: &Lease) -> Option<Counted> {
        let is_alone = lease.session == lease.request.into();
        (!is_alone).then(|| self.count(lease.session, Part::Held))
    }

    /// Counts a release of a lease that a session holds beside its own request.
    pub(super) fn depart_with(self: &Arc<Self>, lease: &Lease) -> Option<Counted> {
        let is_alone = lease.session == lease.request.into();
        (!is_alone).then(|| self.depart(lease.session))
    }

    /// Counts a release.
    pub(super) fn depart(self: &Arc<Self>, session: SessionId) -> Counted {
        self.count(session, Part::Departing)
    }

    pub(super) fn holds(&self, session: SessionId) -> bool {
        self.counts().contains_key(&(session, Part::Held))
    }

    pub(super) fn has_departing(&self, session: SessionId) -> bool {
        self.counts().contains_key(&(session, Part::Departing))
    }

    /// Waits until nothing of the session is on its way.
    pub(super) async fn until_departed(&self, session: SessionId) {
        loop {
            let departed = self.departed.notified();
            if !self.has_departing(session) {
                return;
            }
            departed.await;
        }
    }

    fn count(self: &Arc<Self>, session: SessionId, part: Part) -> Counted {
        *self.counts().entry((session, part)).or_default() += 1;
        Counted { sessions: Arc::clone(self), session, part }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<(SessionId, Part), usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Self { sessions, session, part } = self;
        let mut counts = sessions.counts();
        if let Some(count) = counts.get_mut(&(*session, *part)) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&(*session, *part));
            }
        }
        drop(counts);
        if *part == Part::Departing {
            sessions.departed.notify_waiters();
        }
    }
}
