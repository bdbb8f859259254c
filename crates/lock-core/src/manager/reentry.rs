//! Re-entrancy: guards of one session that share a lease.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout};

use super::LockGuard;
use super::acquire::{Acquire, Wait};
use super::lease_validity::LeaseValidity;
use crate::{Error, ErrorKind, LockKey, Mode, Operation, Result, SessionId};

/// The leases that guards share, by session and key.
#[derive(Debug, Default)]
pub(super) struct Reentries {
    slots: Mutex<HashMap<(SessionId, LockKey), Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Held by the request that is on its way, for which the others wait.
    gate: Arc<tokio::sync::Mutex<()>>,
    /// Guards and requests that use the slot.
    users: usize,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    lease: SharedLease,
    guards: usize,
}

/// What the guards of a shared lease have in common.
#[derive(Clone, Debug)]
pub(super) struct SharedLease {
    pub(super) validity: Arc<LeaseValidity>,
    /// `true` if an acquire of the request may still arrive.
    pub(super) answer_outstanding: bool,
}

/// A use of a slot, until it is dropped.
#[derive(Debug)]
pub(super) struct Reentry {
    reentries: Arc<Reentries>,
    name: (SessionId, LockKey),
    gate: Arc<tokio::sync::Mutex<()>>,
    /// `true` if it is counted among the guards of the lease.
    is_guard: bool,
}

impl Reentries {
    /// Enters a request.
    pub(super) fn enter(self: &Arc<Self>, session: SessionId, key: LockKey) -> Reentry {
        let name = (session, key);
        let mut slots = self.slots();
        let slot = slots.entry(name.clone()).or_default();
        slot.users += 1;
        let gate = Arc::clone(&slot.gate);
        drop(slots);
        Reentry { reentries: Arc::clone(self), name, gate, is_guard: false }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<(SessionId, LockKey), Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reentry {
    /// Waits until no other request of the session is on its way to the key.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.gate).lock_owned().await
    }

    /// Joins the guards of the lease, if there is one that is alive and covers the mode.
    pub(super) fn join(&mut self, mode: Mode) -> Option<SharedLease> {
        let mut slots = self.reentries.slots();
        let held = slots.get_mut(&self.name)?.held.as_mut()?;
        let its = held.lease.validity.lease().mode;
        let is_alive = held.lease.validity.lost(Instant::now()).is_none();
        if !is_alive || (its != mode && its != Mode::Exclusive) {
            return None;
        }
        held.guards += 1;
        let lease = held.lease.clone();
        drop(slots);
        self.is_guard = true;
        Some(lease)
    }

    /// Offers a new lease to the session.
    pub(super) fn offer(&mut self, lease: SharedLease) {
        if let Some(slot) = self.reentries.slots().get_mut(&self.name) {
            slot.held = Some(Held { lease, guards: 1 });
            self.is_guard = true;
        }
    }

    /// Offers a lease once more that was taken out, unless the session has another.
    pub(super) fn offer_again(&mut self, lease: SharedLease) {
        if let Some(slot) = self.reentries.slots().get_mut(&self.name)
            && slot.held.is_none()
        {
            slot.held = Some(Held { lease, guards: 1 });
            self.is_guard = true;
        }
    }

    /// Leaves the guards of this lease: `true` if it was the last of them.
    pub(super) fn leave(&mut self, validity: &Arc<LeaseValidity>) -> bool {
        let mut slots = self.reentries.slots();
        let Some(slot) = slots.get_mut(&self.name) else { return true };
        let Some(held) = &mut slot.held else { return true };
        // A lease that was lost may have been followed by another.
        if !self.is_guard || !Arc::ptr_eq(&held.lease.validity, validity) {
            return true;
        }
        self.is_guard = false;
        held.guards -= 1;
        let is_last = held.guards == 0;
        if is_last {
            slot.held = None;
        }
        is_last
    }

    /// Takes the lease out, unless other guards share it.
    pub(super) fn unshare(
        &mut self,
        validity: &Arc<LeaseValidity>,
        operation: Operation,
    ) -> Result<()> {
        let mut slots = self.reentries.slots();
        let held = slots.get_mut(&self.name).and_then(|slot| slot.held.as_ref());
        if held.is_some_and(|held| held.guards > 1 && Arc::ptr_eq(&held.lease.validity, validity)) {
            let cause = "other guards of the session share the lease";
            let error = Error::new(ErrorKind::Refused, operation).with_key(self.name.1.clone());
            return Err(error.with_source(cause));
        }
        drop(slots);
        self.leave(validity);
        Ok(())
    }
}

impl Drop for Reentry {
    fn drop(&mut self) {
        let mut slots = self.reentries.slots();
        if let Some(slot) = slots.get_mut(&self.name) {
            slot.users -= 1;
            if slot.users == 0 {
                slots.remove(&self.name);
            }
        }
    }
}

impl Acquire<Wait> {
    /// Shares the lease within the session: a re-entrant request of a session that holds the key by
    /// another gets a guard of the same lease, with the same token, at once. The lease is released with
    /// the last guard.
    ///
    /// The lease must be exclusive or of the same mode, and held by this manager. Without a
    /// [session](crate::LockManager::session) there is nobody to share it with.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use lock_core::{LockManager, OwnerId};
    /// # use lock_memory::MemoryBackend;
    /// let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("deploy-7")?);
    /// let session = manager.session();
    /// let outer = session.acquire("database").reentrant().await?;
    /// let inner = session.acquire("database").reentrant().await?;
    /// assert_eq!(inner.token(), outer.token());
    /// # Ok(())
    /// # }
    /// ```
    pub fn reentrant(mut self) -> Self {
        self.is_reentrant = true;
        self
    }

    /// Sends the request, unless the session holds the key already.
    pub(super) async fn in_reentry(mut self) -> Result<LockGuard> {
        let (key, session, mode) = match &self.request {
            Ok(request) => (request.key.clone(), request.session, request.mode),
            Err(input) => return Err(Error::invalid(Operation::Acquire, input.clone())),
        };
        let asked_at = Instant::now();
        let shared = Arc::clone(&self.manager.shared);
        let mut reentry = Box::new(shared.reentries.enter(session, key.clone()));
        let turn = match self.wait {
            None => reentry.turn().await,
            Some(wait) => timeout(wait, reentry.turn())
                .await
                .map_err(|_| Error::new(ErrorKind::WaitOver, Operation::Acquire).with_key(key))?,
        };
        if let Some(lease) = reentry.join(mode) {
            return Ok(LockGuard::again(shared, lease, reentry));
        }
        self.wait = self.wait.map(|wait| wait.saturating_sub(asked_at.elapsed()));
        self.is_reentrant = false;
        let guard = self.into_future().await?;
        let guard = guard.offered(reentry);
        drop(turn);
        Ok(guard)
    }
}
