//! The rules in the simplest form: vectors that are searched from end to end.

mod end;

use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, Change, FencingToken, Inspection, Lease, LockKey, Metadata, Mode,
    OnHeld, Place, RenewRequest, Renewal, RequestId, Timestamp, Waiter,
};

use crate::fault::Fault;

/// What a key has. Nothing in here is fast.
#[derive(Debug, Default)]
pub(crate) struct Key {
    pub(crate) held: Vec<Held>,
    /// The next first.
    pub(crate) queue: Vec<Waiting>,
    last_arrival: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) lease: Lease,
    unclaimed: bool,
    given_by: Option<RequestId>,
}

#[derive(Debug)]
pub(crate) struct Waiting {
    asked: AcquireRequest,
    keep_alive: Duration,
    pub(crate) shown: Waiter,
}

/// What a command finds around it.
#[derive(Debug)]
pub(crate) struct Command<'a> {
    pub(crate) key: &'a mut Key,
    pub(crate) now: Timestamp,
    pub(crate) last_token: &'a mut Option<FencingToken>,
    pub(crate) changes: Vec<Change>,
    pub(crate) fault: Fault,
}

impl Command<'_> {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn is_over(&self, end: Timestamp, late: Fault) -> bool {
        if self.has(late) { end < self.now } else { end <= self.now }
    }

    fn is_silent(&self, waiting: &Waiting) -> bool {
        self.is_over(waiting.shown.silent_at, Fault::SilenceBeginsLate)
    }

    fn token(&mut self) -> FencingToken {
        let token = FencingToken::following(*self.last_token, self.now);
        *self.last_token = Some(token);
        token
    }

    pub(crate) fn settle(&mut self) {
        let mut expired = Vec::new();
        loop {
            let is_over = |lease: &Lease| {
                lease.expires_at.is_some_and(|end| self.is_over(end, Fault::LeasesEndLate))
            };
            let first = self.ordered().first().map(|held| held.lease.clone());
            let Some(first) = first.filter(is_over) else { break };
            self.key.held.retain(|held| held.lease.request != first.request);
            expired.push(Change::Expired(first));
        }
        if self.has(Fault::ExpiriesAreToldLate) {
            self.sweep();
            self.promote();
            self.changes.extend(expired);
        } else {
            self.changes.extend(expired);
            self.sweep();
            self.promote();
        }
    }

    fn sweep(&mut self) {
        for _ in 0..if self.has(Fault::SweepsOneLess) { 63 } else { 64 } {
            let silent = |at: &usize| self.is_silent(&self.key.queue[*at]);
            let head = (!self.key.queue.is_empty()).then_some(0).filter(silent);
            let head = head.filter(|_| !self.has(Fault::SweepsSpareTheHead));
            let longest = (0..self.key.queue.len()).filter(silent).min_by_key(|at| {
                let shown = &self.key.queue[*at].shown;
                (shown.silent_at, shown.request)
            });
            let Some(at) = head.or(longest) else { break };
            let lapsed = self.key.queue.remove(at);
            self.changes.push(Change::Lapsed(lapsed.shown));
        }
    }

    fn promote(&mut self) {
        while let Some(head) = self.key.queue.first()
            && !self.is_silent(head)
            && self.fits(head.asked.mode)
        {
            let head = self.key.queue.remove(0);
            let lease = self.handed(&head);
            self.changes.push(Change::Granted(lease.clone()));
            self.key.held.push(Held { lease, unclaimed: true, given_by: None });
            if self.has(Fault::PromotesOne) {
                break;
            }
        }
        if self.key.queue.is_empty() {
            self.key.last_arrival = Timestamp::default();
        }
    }

    /// The lease that a waiter is handed.
    fn handed(&mut self, waiting: &Waiting) -> Lease {
        let ttl = waiting.asked.ttl.span().unwrap_or(Duration::MAX);
        let more = Duration::from_micros(self.has(Fault::ClaimWindowsAreLonger).into());
        let end = self.now.after(ttl.min(waiting.keep_alive) + more);
        let token = self.token();
        Lease::granted(&waiting.asked, token, self.now).with_expires_at(Some(end))
    }

    fn fits(&self, mode: Mode) -> bool {
        let Some(first) = self.key.held.first() else { return true };
        let limit = match mode {
            Mode::Exclusive => 1,
            Mode::Shared { limit } => limit.map_or(usize::MAX, |limit| limit.get() as usize),
        };
        first.lease.mode == mode && self.key.held.len() < limit
    }

    /// The first to end first.
    pub(crate) fn ordered(&self) -> Vec<&Held> {
        let mut held: Vec<_> = self.key.held.iter().collect();
        let never = Timestamp::from_micros(u64::MAX);
        held.sort_by_key(|it| (it.lease.expires_at.unwrap_or(never), it.lease.request));
        held
    }

    fn held(&mut self, request: RequestId) -> Option<&mut Held> {
        self.key.held.iter_mut().find(|held| held.lease.request == request)
    }

    fn place(&self, position: usize) -> Place {
        let holder = self.ordered().first().map(|held| held.lease.clone());
        let waiting = self.key.queue.len() as u64;
        Place::new(position as u64, waiting, self.now)
            .with_holder(self.key.held.len() as u64, holder)
    }

    fn rank(&self, arrival: Timestamp, asked: &AcquireRequest) -> i128 {
        let mut head_start = asked.head_start.span();
        if self.has(Fault::HeadStartsAreCapped) {
            head_start = head_start.min(Duration::from_secs(180));
        }
        i128::from(arrival.as_micros()) - head_start.as_micros() as i128
    }

    pub(crate) fn acquire(&mut self, asked: &AcquireRequest) -> Acquisition {
        self.settle();
        let (now, mut asked) = (self.now, asked.clone());
        if self.has(Fault::MetadataEndsAtZero) {
            let cut = |text: &str| text.split('\0').next().unwrap_or_default().to_owned();
            let entries = asked.metadata.iter().map(|(name, text)| (name.to_owned(), cut(text)));
            asked.metadata = Metadata::parse(entries.collect::<Vec<_>>()).unwrap();
        }
        if let Some(held) = self.held(asked.request) {
            if held.unclaimed {
                held.unclaimed = false;
                held.lease.expires_at = held.lease.ttl.span().map(|span| now.after(span));
            }
            return Acquisition::Granted(held.lease.clone());
        }
        let waits = |waiting: &Waiting| waiting.shown.request == asked.request;
        if let Some(at) = self.key.queue.iter().position(waits) {
            let waiting = &mut self.key.queue[at];
            waiting.shown.silent_at = now.after(waiting.keep_alive);
            return Acquisition::Queued(self.place(at + 1));
        }
        let mut arrival = now.max(self.key.last_arrival);
        if self.has(Fault::ArrivalsJumpBack) {
            arrival = now;
        }
        let rank = self.rank(arrival, &asked);
        let behind = self.key.queue.iter().position(|other| {
            let other = self.rank(other.shown.enqueued_at, &other.asked);
            if self.has(Fault::TiesGoToTheLast) { other >= rank } else { other > rank }
        });
        let at = behind.unwrap_or(self.key.queue.len());
        if at == 0 && self.fits(asked.mode) {
            let token = self.token();
            let lease = Lease::granted(&asked, token, now);
            self.changes.push(Change::Granted(lease.clone()));
            self.key.held.push(Held { lease: lease.clone(), unclaimed: false, given_by: None });
            return Acquisition::Granted(lease);
        }
        let OnHeld::Queue { keep_alive, queue_limit } = asked.on_held else {
            return Acquisition::Held(self.place(at + 1));
        };
        let counted = self.key.queue.iter();
        let counts = |it: &&Waiting| !self.has(Fault::LimitsCountTheLiving) || !self.is_silent(it);
        let waiting = counted.filter(counts).count();
        if queue_limit.is_some_and(|limit| waiting >= limit.get() as usize) {
            return Acquisition::QueueFull(self.place(at + 1));
        }
        let keep_alive = keep_alive.span();
        let (key, owner) = (asked.key.clone(), asked.owner.clone());
        let shown = Waiter::new(key, owner, asked.request, arrival, now.after(keep_alive));
        let shown = shown.with_terms(asked.mode, asked.head_start);
        self.changes.push(Change::Queued(shown.clone()));
        self.key.last_arrival = arrival;
        self.key.queue.insert(at, Waiting { asked, keep_alive, shown });
        Acquisition::Queued(self.place(at + 1))
    }

    pub(crate) fn renew(&mut self, renewal: &RenewRequest) -> Renewal {
        self.settle();
        let (now, keeps) = (self.now, self.has(Fault::RenewalsKeepTheTtl));
        let Some(held) = self.held(renewal.request) else { return Renewal::NotHeld };
        held.unclaimed = false;
        held.lease.expires_at = renewal.ttl.span().map(|span| now.after(span));
        if !keeps {
            held.lease.ttl = renewal.ttl;
        }
        Renewal::Renewed(held.lease.clone())
    }

    pub(crate) fn inspect(&mut self, key: &LockKey) -> Inspection {
        self.settle();
        let leases: Vec<_> = self.ordered().iter().map(|held| held.lease.clone()).collect();
        let alive = self.key.queue.iter().filter(|waiting| !self.is_silent(waiting));
        let waiters = alive.map(|waiting| waiting.shown.clone()).collect();
        Inspection::free(key.clone(), self.now)
            .with_leases(leases.len() as u64, leases)
            .with_waiters(self.key.queue.len() as u64, waiters)
    }
}
