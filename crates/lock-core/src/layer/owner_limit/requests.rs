//! The requests of each owner that may wait or hold, as far as this process knows.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::{AcquireRequest, OnHeld, OwnerId, RequestId, Ttl};

/// The fewest entries at which those that are over are swept.
const SWEEP_AT: usize = 1024;

/// The requests that may wait or hold.
#[derive(Debug)]
pub(super) struct Requests {
    limit: usize,
    entries: HashMap<RequestId, Entry>,
    counts: HashMap<OwnerId, usize>,
    /// The number of entries at which the next sweep is worth its cost.
    sweep_at: usize,
}

/// A request that may wait or hold.
#[derive(Debug)]
struct Entry {
    owner: OwnerId,
    ttl: Ttl,
    keep_alive: Duration,
    /// When it is over for certain unless it is heard or renewed; `None` if never.
    until: Option<Instant>,
}

/// What entering a request has changed, to be undone when it certainly was not sent.
#[derive(Debug)]
pub(super) enum Entered {
    New,
    /// It was there before, and lasted so long.
    Again(Option<Instant>),
}

impl Requests {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, entries: HashMap::new(), counts: HashMap::new(), sweep_at: SWEEP_AT }
    }

    /// Enters a request before it is sent; `None` when its owner has as many as it may.
    pub(super) fn enter(&mut self, now: Instant, request: &AcquireRequest) -> Option<Entered> {
        let keep_alive = match request.on_held {
            OnHeld::Queue { keep_alive, .. } => keep_alive.span(),
            OnHeld::Refuse => Duration::ZERO,
        };
        // It may wait for the keep-alive and hold for the claim window after that, or hold at once.
        let until = request.ttl.span().map(|ttl| now + ttl.max(keep_alive * 2));
        if let Some(entry) = self.entries.get_mut(&request.id)
            && entry.until.is_none_or(|until| until > now)
        {
            let before = entry.until;
            entry.until = before.zip(until).map(|(before, until)| before.max(until));
            return Some(Entered::Again(before));
        }
        self.remove(request.id);
        let is_full = |requests: &Self| requests.count(&request.owner) >= requests.limit;
        if is_full(self) || self.entries.len() >= self.sweep_at {
            self.sweep(now);
        }
        if is_full(self) {
            return None;
        }
        let owner = request.owner.clone();
        *self.counts.entry(owner.clone()).or_default() += 1;
        self.entries.insert(request.id, Entry { owner, ttl: request.ttl, keep_alive, until });
        Some(Entered::New)
    }

    /// Undoes the entering of a request that certainly did not reach the store.
    pub(super) fn undo(&mut self, request: RequestId, entered: &Entered) {
        match entered {
            Entered::New => self.remove(request),
            Entered::Again(before) => {
                if let Some(entry) = self.entries.get_mut(&request) {
                    entry.until = *before;
                }
            }
        }
    }

    /// Notes that a request waits: unheard, it is over after its keep-alive, and the claim window if
    /// it was granted meanwhile.
    pub(super) fn waits(&mut self, now: Instant, request: RequestId) {
        if let Some(entry) = self.entries.get_mut(&request) {
            entry.until = Some(now + entry.keep_alive * 2);
        }
    }

    /// Notes that a request holds from now on for its ttl, or for another.
    pub(super) fn holds(&mut self, now: Instant, request: RequestId, ttl: Option<Ttl>) {
        if let Some(entry) = self.entries.get_mut(&request) {
            entry.ttl = ttl.unwrap_or(entry.ttl);
            entry.until = entry.ttl.span().map(|ttl| now + ttl);
        }
    }

    /// Notes that a request neither waits nor holds.
    pub(super) fn remove(&mut self, request: RequestId) {
        if let Some(entry) = self.entries.remove(&request) {
            self.uncount(&entry.owner);
        }
    }

    /// Number of requests of an owner.
    pub(super) fn count(&self, owner: &OwnerId) -> usize {
        self.counts.get(owner).copied().unwrap_or_default()
    }

    fn sweep(&mut self, now: Instant) {
        let over = self.entries.extract_if(|_, entry| entry.until.is_some_and(|at| at <= now));
        let owners: Vec<OwnerId> = over.map(|(_, entry)| entry.owner).collect();
        for owner in owners {
            self.uncount(&owner);
        }
        self.sweep_at = SWEEP_AT.max(self.entries.len() * 2);
    }

    fn uncount(&mut self, owner: &OwnerId) {
        if let Some(count) = self.counts.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(owner);
            }
        }
    }
}
