//! The memory of a broken store, beside the store below it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use lock_core::{
    AcquireRequest, Change, End, FencingToken, Lease, LockEvent, LockKey, MailboxId, OwnerId,
    RequestId, Timestamp, Ttl, Waiter,
};

use crate::fault::Fault;

/// The end of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Released,
    Expired,
    Transferred,
    Evicted,
}

/// The history of the store so far.
#[derive(Debug, Default)]
pub(crate) struct Scenario {
    /// The first acquire of each request.
    pub(crate) asked: HashMap<RequestId, AcquireRequest>,
    /// The last lease of each request, as it began, and its end.
    pub(crate) leases: HashMap<RequestId, (Lease, Option<Ending>)>,
    /// The last lease of each key that ended.
    pub(crate) ended: HashMap<LockKey, RequestId>,
    /// Every waiter that ever was, by request.
    pub(crate) waiters: HashMap<RequestId, Waiter>,
    /// The requests that were handed a lease and did not claim it.
    pub(crate) unclaimed: HashSet<RequestId>,
    /// The leases that waiters were handed, in their order.
    pub(crate) handed: Vec<Lease>,
    /// The mailboxes that were ever opened.
    pub(crate) open: HashSet<MailboxId>,
    /// The connections that sent each request first, and that caused each hand-over.
    pub(crate) seats: HashMap<RequestId, u64>,
    pub(crate) granted_by: HashMap<RequestId, u64>,
    /// The end and the time of each evicted request.
    pub(crate) evicted: HashMap<RequestId, (End, Timestamp)>,
    pub(crate) evicted_owners: HashMap<OwnerId, End>,
    /// The time of the first reply.
    pub(crate) first_reply: Option<Timestamp>,
    /// The true and the reported lifetime of each request's leases.
    pub(crate) lies: HashMap<RequestId, (Ttl, Ttl)>,
    /// The requests whose cancel is delayed until the next release.
    pub(crate) put_off: Vec<(LockKey, RequestId)>,
    /// The requests that were cancelled.
    pub(crate) cancelled: HashSet<RequestId>,
    /// The requests to which a lease was transferred.
    pub(crate) transferred: HashSet<RequestId>,
    /// The number of waiters of each key that fell silent or left.
    pub(crate) lapsed: HashMap<LockKey, u64>,
    pub(crate) left: HashMap<LockKey, u64>,
    /// The first position reported to each request.
    pub(crate) positions: HashMap<RequestId, u64>,
    /// The key of the lease that was listed last.
    pub(crate) listed: Option<LockKey>,
    /// The number of acquires and releases so far.
    pub(crate) arrivals: u32,
    pub(crate) releases: u32,
    /// The highest time at which anything happened, and the time of the last command.
    pub(crate) latest: Timestamp,
    pub(crate) last_command: Timestamp,
    shown: HashMap<(LockKey, FencingToken), FencingToken>,
    counts: HashMap<LockKey, (u64, Timestamp)>,
    pub(crate) queued: HashSet<RequestId>,
}

impl Scenario {
    /// Records an event; returns the lease that a waiter was handed.
    pub(crate) fn learn(&mut self, fault: Fault, event: &LockEvent) -> Option<Lease> {
        let handed = match &event.change {
            Change::Queued(waiter) => {
                self.queued.insert(waiter.request);
                self.waiters.insert(waiter.request, waiter.clone());
                None
            }
            Change::Granted(lease) => self.begin(fault, event.at, lease, None),
            Change::Transferred { from, to } => {
                self.end(event.at, from, Ending::Transferred);
                self.transferred.insert(to.request);
                self.begin(fault, event.at, to, Some(from))
            }
            Change::Released(lease) => self.end(event.at, lease, Ending::Released),
            Change::Expired(lease) => self.end(event.at, lease, Ending::Expired),
            Change::Evicted { lease, .. } => self.end(event.at, lease, Ending::Evicted),
            Change::Cancelled(waiter) => self.leave(waiter, |story| &mut story.left),
            Change::WaiterEvicted { waiter, .. } => self.leave(waiter, |story| &mut story.left),
            Change::Lapsed(waiter) => self.leave(waiter, |story| &mut story.lapsed),
            _ => None,
        };
        self.latest = self.latest.max(event.at);
        handed
    }

    /// The end of the request's last lease, if it has ended.
    pub(crate) fn end_of(&self, request: RequestId) -> Option<Ending> {
        self.leases.get(&request).and_then(|(_, end)| *end)
    }

    /// The leases that ended in this way.
    pub(crate) fn over(&self, wanted: Ending) -> impl Iterator<Item = &Lease> {
        let over = self.leases.values().filter(move |(_, end)| *end == Some(wanted));
        over.map(|(lease, _)| lease)
    }

    /// The last lease of its request that has this token.
    pub(crate) fn lease_with(&self, key: &LockKey, token: FencingToken) -> Option<Lease> {
        let is_meant = |lease: &&Lease| lease.key == *key && lease.token == token;
        self.leases.values().map(|(lease, _)| lease).find(is_meant).cloned()
    }

    /// The token with which this lease is shown.
    pub(crate) fn token(&self, lease: &Lease) -> FencingToken {
        let real = (lease.key.clone(), lease.token);
        self.shown.get(&real).copied().unwrap_or(lease.token)
    }

    /// Shows the token of this lease as another from now on.
    pub(crate) fn show_token(&mut self, lease: &Lease, token: FencingToken) {
        self.shown.insert((lease.key.clone(), lease.token), token);
    }

    fn begin(
        &mut self,
        fault: Fault,
        at: Timestamp,
        lease: &Lease,
        from: Option<&Lease>,
    ) -> Option<Lease> {
        let waited = self.queued.remove(&lease.request);
        if let Some(token) = self.broken_token(fault, at, lease, waited, from) {
            self.show_token(lease, token);
        }
        self.leases.insert(lease.request, (lease.clone(), None));
        if !waited {
            return None;
        }
        self.unclaimed.insert(lease.request);
        self.handed.push(lease.clone());
        Some(lease.clone())
    }

    fn leave(
        &mut self,
        waiter: &Waiter,
        count: fn(&mut Self) -> &mut HashMap<LockKey, u64>,
    ) -> Option<Lease> {
        self.queued.remove(&waiter.request);
        *count(self).entry(waiter.key.clone()).or_default() += 1;
        None
    }

    fn end(&mut self, at: Timestamp, lease: &Lease, end: Ending) -> Option<Lease> {
        self.leases.insert(lease.request, (lease.clone(), Some(end)));
        self.ended.insert(lease.key.clone(), lease.request);
        self.unclaimed.remove(&lease.request);
        if let Some((_, idle)) = self.counts.get_mut(&lease.key) {
            *idle = at;
        }
        None
    }

    /// The token that the fault gives a new lease.
    fn broken_token(
        &mut self,
        fault: Fault,
        at: Timestamp,
        lease: &Lease,
        waited: bool,
        from: Option<&Lease>,
    ) -> Option<FencingToken> {
        let before = self.ended.get(&lease.key).and_then(|request| self.leases.get(request));
        let again = |wanted| match before {
            Some((last, Some(end))) if *end == wanted => Some(self.token(last)),
            _ => None,
        };
        match fault {
            Fault::TokensStandStill => before.map(|(last, _)| self.token(last)),
            Fault::TokensRepeatAfterExpiry => again(Ending::Expired),
            Fault::TokensRepeatAfterEviction => again(Ending::Evicted),
            Fault::PromotionsKeepTheToken if waited => before.map(|(last, _)| self.token(last)),
            Fault::TransfersKeepTheToken => from.map(|from| self.token(from)),
            Fault::TokensBeyondDoubles => {
                let last = before.map_or(FencingToken::MAX, |(last, _)| self.token(last));
                Some(FencingToken::following(Some(last), at))
            }
            Fault::TokensAreTheClock => FencingToken::new(at.as_micros()),
            Fault::TokensFollowTheClockBack if at < self.latest => {
                FencingToken::new(at.as_micros())
            }
            Fault::TokensRestartWhenForgotten => {
                let (count, idle) = self.counts.entry(lease.key.clone()).or_default();
                *count = if at.since(*idle) > Duration::from_secs(1) { 1 } else { *count + 1 };
                FencingToken::new(*count)
            }
            _ => None,
        }
    }
}
