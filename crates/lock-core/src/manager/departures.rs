//! Releases and cancels on their way to the store, by session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::SessionId;

/// Releases and cancels on their way to the store, by session.
///
/// The next request of a session waits for them. Otherwise the store would show a session that waits
/// for what it has dropped already, which looks like a deadlock.
#[derive(Debug, Default)]
pub(super) struct Departures {
    under_way: Mutex<HashMap<SessionId, usize>>,
    done: Notify,
}

/// A release on its way, until it is dropped.
#[derive(Debug)]
pub(super) struct Departure {
    departures: Arc<Departures>,
    session: SessionId,
}

impl Departures {
    pub(super) fn enter(self: &Arc<Self>, session: SessionId) -> Departure {
        *self.under_way().entry(session).or_default() += 1;
        Departure { departures: Arc::clone(self), session }
    }

    pub(super) fn has(&self, session: SessionId) -> bool {
        self.under_way().contains_key(&session)
    }

    /// Waits until nothing of the session is on its way.
    pub(super) async fn until_none(&self, session: SessionId) {
        loop {
            let done = self.done.notified();
            if !self.has(session) {
                return;
            }
            done.await;
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<SessionId, usize>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        let mut under_way = self.departures.under_way();
        if let Some(count) = under_way.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.session);
            }
        }
        drop(under_way);
        self.departures.done.notify_waiters();
    }
}
