//! The requests of each owner that may wait or hold, as far as this process knows.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::{AcquireRequest, Mode, OnHeld, OwnerId, RequestId, Ttl};

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
    /// The request whose lease it takes the place of.
    replaces: Option<RequestId>,
    /// The request that takes the place of its lease.
    upgrade: Option<RequestId>,
    /// `false` while the lease that it takes the place of is counted.
    is_counted: bool,
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
        let replaces = match request.mode {
            Mode::Upgrade { request, .. } => Some(request),
            Mode::Exclusive | Mode::Shared { .. } => None,
        };
        let lease = replaces.and_then(|lease| self.entries.get_mut(&lease));
        let lease = lease.filter(|lease| lease.is_counted && lease.owner == request.owner);
        let is_counted = lease.is_none();
        if let Some(lease) = lease {
            lease.upgrade = Some(request.id);
        }
        let is_full =
            |requests: &Self| is_counted && requests.count(&request.owner) >= requests.limit;
        if is_full(self) || self.entries.len() >= self.sweep_at {
            self.sweep(now);
        }
        if is_full(self) {
            return None;
        }
        let owner = request.owner.clone();
        if is_counted {
            *self.counts.entry(owner.clone()).or_default() += 1;
        }
        let entry = Entry {
            owner,
            ttl: request.ttl,
            keep_alive,
            until,
            replaces,
            upgrade: None,
            is_counted,
        };
        self.entries.insert(request.id, entry);
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
        self.was_granted(request);
    }

    /// Notes that a request was granted, which ends the lease that it takes the place of.
    pub(super) fn was_granted(&mut self, request: RequestId) {
        let replaces = self.entries.get_mut(&request).and_then(|entry| entry.replaces.take());
        if let Some(lease) = replaces {
            self.remove(lease);
        }
        if let Some(entry) = self.entries.get_mut(&request)
            && !std::mem::replace(&mut entry.is_counted, true)
        {
            *self.counts.entry(entry.owner.clone()).or_default() += 1;
        }
    }

    /// Notes that a request holds no longer.
    pub(super) fn was_held(&mut self, request: RequestId) {
        self.was_granted(request);
        self.remove(request);
    }

    /// Notes that a request neither waits nor holds.
    pub(super) fn remove(&mut self, request: RequestId) {
        let Some(entry) = self.entries.remove(&request).filter(|entry| entry.is_counted) else {
            return;
        };
        // An upgrade keeps its place in the queue, and counts from now on.
        match entry.upgrade.and_then(|upgrade| self.entries.get_mut(&upgrade)) {
            Some(upgrade) if !upgrade.is_counted => upgrade.is_counted = true,
            _ => self.uncount(&entry.owner),
        }
    }

    /// Number of requests of an owner.
    pub(super) fn count(&self, owner: &OwnerId) -> usize {
        self.counts.get(owner).copied().unwrap_or_default()
    }

    fn sweep(&mut self, now: Instant) {
        let is_over = |entry: &Entry| entry.until.is_some_and(|at| at <= now);
        let over = self.entries.iter().filter(|(_, entry)| is_over(entry));
        let over: Vec<RequestId> = over.map(|(request, _)| *request).collect();
        for request in over {
            self.remove(request);
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
