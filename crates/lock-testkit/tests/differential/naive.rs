//! The rules in the simplest form: vectors that are searched from end to end.

mod end;
mod evict;
mod look;

use std::time::Duration;

pub(crate) use look::page;

use lock_core::machine::UPGRADE_LEAD;
use lock_core::{
    AcquireRequest, Acquisition, Change, End, FencingToken, Grant, HearRequest, Heard, Lease,
    LeaseName, MailboxId, Metadata, Mode, Notice, OnHeld, RenewRequest, Renewal, RequestId,
    Timestamp, Waiter,
};

use crate::fault::Fault;

/// The number of changes of each kind that one command makes for others.
const BOUND: usize = 64;

/// The state of a key. Nothing in here is fast.
#[derive(Debug, Default)]
pub(crate) struct Key {
    pub(crate) held: Vec<Held>,
    /// The waiters, the next first.
    pub(crate) queue: Vec<Waiting>,
    marks: Vec<Mark>,
    last_arrival: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) lease: Lease,
    mailbox: Option<MailboxId>,
    unclaimed: bool,
    given_by: Option<LeaseName>,
}

#[derive(Debug)]
pub(crate) struct Waiting {
    request: AcquireRequest,
    keep_alive: Duration,
    pub(crate) shown: Waiter,
    /// The mailbox of the request.
    mailbox: Option<MailboxId>,
}

#[derive(Debug)]
struct Mark {
    request: RequestId,
    token: Option<FencingToken>,
    end: End,
    until: Timestamp,
}

/// The context of a command.
#[derive(Debug)]
pub(crate) struct Command<'a> {
    pub(crate) key: &'a mut Key,
    pub(crate) now: Timestamp,
    pub(crate) last_token: &'a mut Option<FencingToken>,
    pub(crate) changes: Vec<Change>,
    pub(crate) notices: Vec<(MailboxId, Notice)>,
    pub(crate) fault: Fault,
    left: Left,
}

/// The remaining number of changes that the command may make for others.
#[derive(Debug)]
struct Left {
    leases: usize,
    waiters: usize,
    grants: usize,
}

const fn take(left: &mut usize) -> bool {
    let is_left = *left > 0;
    *left = left.saturating_sub(1);
    is_left
}

const fn is_upgrade(mode: Mode) -> bool {
    matches!(mode, Mode::Upgrade { .. })
}

impl<'a> Command<'a> {
    pub(crate) fn new(
        key: &'a mut Key,
        now: Timestamp,
        last_token: &'a mut Option<FencingToken>,
        fault: Fault,
    ) -> Self {
        let bound = |is_wrong, wrong| if is_wrong { wrong } else { BOUND };
        let left = Left {
            leases: if fault == Fault::ExpiryIsBounded { BOUND } else { usize::MAX },
            waiters: bound(fault == Fault::SweepsOneLess, BOUND - 1),
            grants: bound(fault == Fault::GrantsAreUnbounded, usize::MAX),
        };
        let (changes, notices) = (Vec::new(), Vec::new());
        Self { key, now, last_token, changes, notices, fault, left }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn is_over(&self, lease: &Lease) -> bool {
        let late = self.has(Fault::LeasesEndLate);
        lease.expires_at.is_some_and(|end| if late { end < self.now } else { end <= self.now })
    }

    fn is_silent(&self, waiting: &Waiting) -> bool {
        let late = self.has(Fault::SilenceBeginsLate);
        let end = waiting.shown.silent_at;
        if late { end < self.now } else { end <= self.now }
    }

    fn token(&mut self) -> FencingToken {
        let token = FencingToken::following(*self.last_token, self.now);
        *self.last_token = Some(token);
        token
    }

    fn tell(&mut self, mailbox: Option<MailboxId>, notice: Notice) {
        self.notices.extend(mailbox.map(|mailbox| (mailbox, notice)));
    }

    fn tell_grant(&mut self, mailbox: Option<MailboxId>, lease: &Lease) {
        let grant = Grant::new(lease.key.clone(), lease.request, lease.token, lease.granted_at);
        let notice = Notice::Granted(grant.with_expires_at(lease.expires_at));
        if self.has(Fault::GrantsAreToldTwice) {
            self.tell(mailbox, notice.clone());
        }
        self.tell(mailbox, notice);
    }

    pub(crate) fn settle(&mut self) {
        let mut expired = Vec::new();
        while let Some(first) = self.ordered().first().map(|held| held.lease.clone())
            && self.is_over(&first)
            && take(&mut self.left.leases)
        {
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
        let now = self.now;
        self.key.marks.retain(|mark| mark.until > now);
    }

    /// Settles the key, and drops what the request lost by expiry.
    fn settle_for(&mut self, request: RequestId) {
        self.settle();
        if let Some(at) = self.key.held.iter().position(|it| it.lease.request == request)
            && self.is_over(&self.key.held[at].lease)
        {
            let over = self.key.held.remove(at);
            self.changes.push(Change::Expired(over.lease));
        }
        if let Some(at) = self.key.queue.iter().position(|it| it.shown.request == request)
            && self.is_silent(&self.key.queue[at])
        {
            let silent = self.key.queue.remove(at);
            self.changes.push(Change::Lapsed(silent.shown));
            self.promote();
        }
    }

    fn sweep(&mut self) {
        loop {
            let silent = |at: &usize| self.is_silent(&self.key.queue[*at]);
            let head = (!self.key.queue.is_empty()).then_some(0).filter(silent);
            let head = head.filter(|_| !self.has(Fault::SweepsSpareTheHead));
            let longest = (0..self.key.queue.len()).filter(silent).min_by_key(|at| {
                let shown = &self.key.queue[*at].shown;
                (shown.silent_at, shown.request)
            });
            let Some(at) = head.or(longest) else { break };
            if !take(&mut self.left.waiters) {
                break;
            }
            let lapsed = self.key.queue.remove(at);
            self.changes.push(Change::Lapsed(lapsed.shown));
        }
    }

    fn promote(&mut self) {
        while let Some(head) = self.key.queue.first()
            && !self.alive().iter().any(|held| held.lease.mode == Mode::Exclusive)
        {
            if self.is_silent(head) {
                let end = |it: &&Waiting| (it.shown.silent_at, it.shown.request);
                if let Some(last) = self.key.queue.iter().max_by_key(end)
                    && !self.is_silent(last)
                {
                    let (key, request) = (last.request.key.clone(), last.request.id);
                    self.tell(last.mailbox, Notice::Ask { key, request });
                }
                break;
            }
            if !self.fits(head.request.mode) {
                break;
            }
            if !take(&mut self.left.grants) {
                let (key, request) = (head.request.key.clone(), head.request.id);
                let mailbox = head.mailbox.filter(|_| !self.has(Fault::HeadsAreNotToldToAsk));
                self.tell(mailbox, Notice::Ask { key, request });
                break;
            }
            let head = self.key.queue.remove(0);
            self.end_upgraded(head.request.mode);
            let lease = self.handed(&head);
            self.changes.push(Change::Granted(lease.clone()));
            let first = self.has(Fault::GrantsAreToldWhereJoined);
            self.tell_grant(if first { head.request.mailbox } else { head.mailbox }, &lease);
            self.put(Held { lease, mailbox: head.mailbox, unclaimed: true, given_by: None });
            if self.has(Fault::PromotesOne) {
                break;
            }
        }
        if self.key.queue.is_empty() {
            self.key.last_arrival = Timestamp::default();
        }
    }

    /// Adds a lease, replacing one of the same request that is over.
    fn put(&mut self, held: Held) {
        self.key.held.retain(|other| other.lease.request != held.lease.request);
        self.key.held.push(held);
    }

    /// The lease that a waiter is handed.
    fn handed(&mut self, waiting: &Waiting) -> Lease {
        let ttl = waiting.request.ttl.span().unwrap_or(Duration::MAX);
        let more = Duration::from_micros(self.has(Fault::ClaimWindowsAreLonger).into());
        let end = self.now.after(ttl.min(waiting.keep_alive) + more);
        let token = self.token();
        Lease::granted(&waiting.request, token, self.now).with_expires_at(Some(end))
    }

    /// Ends the lease in whose place a request is granted.
    fn end_upgraded(&mut self, mode: Mode) {
        let Mode::Upgrade { request, token } = mode else { return };
        let Some(held) = self.held(request).filter(|held| held.lease.token == token) else {
            return;
        };
        let lease = held.lease.clone();
        if self.has(Fault::UpgradesKeepTheLease) {
            return;
        }
        self.key.held.retain(|held| held.lease.request != request);
        self.changes.push(Change::Released(lease));
    }

    fn fits(&self, mode: Mode) -> bool {
        let alive: Vec<_> = self.alive();
        let Some(first) = alive.first() else { return true };
        let limit = match mode {
            Mode::Upgrade { request, token } => {
                let is_its_own = (first.lease.request, first.lease.token) == (request, token);
                return alive.len() == 1 && is_its_own;
            }
            Mode::Exclusive => 1,
            Mode::Shared { limit } => limit.map_or(usize::MAX, |limit| limit.get() as usize),
        };
        first.lease.mode == mode && alive.len() < limit
    }

    /// All leases, the first to end first.
    fn ordered(&self) -> Vec<&Held> {
        let mut held: Vec<_> = self.key.held.iter().collect();
        let never = Timestamp::from_micros(u64::MAX);
        held.sort_by_key(|it| (it.lease.expires_at.unwrap_or(never), it.lease.request));
        held
    }

    /// The leases that are alive, the first to end first.
    pub(crate) fn alive(&self) -> Vec<&Held> {
        self.ordered().into_iter().filter(|held| !self.is_over(&held.lease)).collect()
    }

    fn held(&mut self, request: RequestId) -> Option<&mut Held> {
        let at = self.key.held.iter().position(|held| held.lease.request == request)?;
        if self.is_over(&self.key.held[at].lease) {
            return None;
        }
        Some(&mut self.key.held[at])
    }

    fn named(&mut self, name: &LeaseName, ignores_the_token: Fault) -> Option<&mut Held> {
        let ignores = self.has(ignores_the_token);
        self.held(name.request).filter(|held| ignores || held.lease.token == name.token)
    }

    fn rank(&self, arrival: Timestamp, request: &AcquireRequest) -> i128 {
        let mut head_start = request.head_start.span();
        if is_upgrade(request.mode) && !self.has(Fault::UpgradesQueueUp) {
            return i128::from(arrival.as_micros()) - UPGRADE_LEAD.as_micros() as i128;
        }
        if self.has(Fault::HeadStartsAreCapped) {
            head_start = head_start.min(Duration::from_secs(180));
        }
        i128::from(arrival.as_micros()) - head_start.as_micros() as i128
    }

    /// The lease of the request at its full length.
    fn claim(&mut self, request: RequestId, mailbox: Option<MailboxId>) -> Option<Lease> {
        let now = self.now;
        let held = self.held(request)?;
        if held.unclaimed {
            held.unclaimed = false;
            held.lease.expires_at = held.lease.ttl.span().map(|span| now.after(span));
        }
        held.mailbox = mailbox.or(held.mailbox);
        Some(held.lease.clone())
    }

    /// Keeps the request waiting, and returns its position.
    fn keep_waiting(&mut self, request: RequestId, mailbox: Option<MailboxId>) -> Option<usize> {
        let now = self.now;
        let at = self.key.queue.iter().position(|it| it.shown.request == request)?;
        let waiting = &mut self.key.queue[at];
        waiting.shown.silent_at = now.after(waiting.keep_alive);
        waiting.mailbox = mailbox.or(waiting.mailbox);
        Some(at + 1)
    }

    pub(crate) fn acquire(&mut self, request: &AcquireRequest) -> Acquisition {
        self.settle_for(request.id);
        let (now, mut request) = (self.now, request.clone());
        if self.has(Fault::MetadataEndsAtZero) {
            let cut = |text: &str| text.split('\0').next().unwrap_or_default().to_owned();
            let entries = request.metadata.iter().map(|(name, text)| (name.to_owned(), cut(text)));
            request.metadata = Metadata::parse(entries.collect::<Vec<_>>()).unwrap();
        }
        if let Some(lease) = self.claim(request.id, request.mailbox) {
            return Acquisition::Granted(lease);
        }
        if let Some(position) = self.keep_waiting(request.id, request.mailbox) {
            return Acquisition::Queued(self.position(position));
        }
        if let Some(end) = self.end_of(request.id, None) {
            return Acquisition::Ended(end);
        }
        if let Mode::Upgrade { request: held, token } = request.mode {
            let name = LeaseName::new(request.key.clone(), held, token);
            if self.named(&name, Fault::UpgradesIgnoreTheToken).is_none() {
                let end = self.end_of(held, Some(token));
                return end.map_or(Acquisition::NotHeld, Acquisition::Ended);
            }
            let is_second = self.key.queue.first().is_some_and(|it| is_upgrade(it.request.mode));
            if is_second && !self.has(Fault::UpgradesWaitForEachOther) {
                let at = self.key.queue.iter().position(|it| !is_upgrade(it.request.mode));
                let at = at.unwrap_or(self.key.queue.len());
                return Acquisition::Deadlock(self.position(at + 1));
            }
        }
        let mut arrival = now.max(self.key.last_arrival);
        if self.has(Fault::ArrivalsJumpBack) {
            arrival = now;
        }
        let rank = self.rank(arrival, &request);
        let behind = self.key.queue.iter().position(|other| {
            let other = self.rank(other.shown.enqueued_at, &other.request);
            if self.has(Fault::TiesGoToTheLast) { other >= rank } else { other > rank }
        });
        let at = behind.unwrap_or(self.key.queue.len());
        if at == 0 && self.fits(request.mode) {
            self.end_upgraded(request.mode);
            let token = self.token();
            let lease = Lease::granted(&request, token, now);
            self.changes.push(Change::Granted(lease.clone()));
            let (held, mailbox) = (lease.clone(), request.mailbox);
            self.put(Held { lease: held, mailbox, unclaimed: false, given_by: None });
            return Acquisition::Granted(lease);
        }
        let OnHeld::Queue { keep_alive, queue_limit } = request.on_held else {
            return Acquisition::Held(self.position(at + 1));
        };
        let counts = |it: &&Waiting| !self.has(Fault::LimitsCountTheLiving) || !self.is_silent(it);
        let waiting = self.key.queue.iter().filter(counts).count();
        if queue_limit.is_some_and(|limit| waiting >= limit.get() as usize) {
            return Acquisition::QueueFull(self.position(at + 1));
        }
        self.join(at, arrival, request, keep_alive.span());
        Acquisition::Queued(self.position(at + 1))
    }

    fn join(&mut self, at: usize, arrival: Timestamp, request: AcquireRequest, span: Duration) {
        let (key, owner) = (request.key.clone(), request.owner.clone());
        let shown = Waiter::new(key, owner, request.id, arrival, self.now.after(span));
        let mut shown = shown.with_terms(request.mode, request.head_start);
        if !self.has(Fault::SessionsAreForgotten) {
            shown = shown.with_session(request.session);
        }
        self.changes.push(Change::Queued(shown.clone()));
        self.key.last_arrival = arrival;
        let mailbox = request.mailbox;
        self.key.queue.insert(at, Waiting { request, keep_alive: span, shown, mailbox });
    }

    pub(crate) fn hear(&mut self, request: &HearRequest) -> Heard {
        self.settle_for(request.request);
        if self.has(Fault::HearsDoNotClaim)
            && let Some(held) = self.held(request.request)
        {
            return Heard::Granted(held.lease.clone());
        }
        if let Some(lease) = self.claim(request.request, request.mailbox) {
            return Heard::Granted(lease);
        }
        let mailbox = request.mailbox.filter(|_| !self.has(Fault::HearsForgetTheMailbox));
        if let Some(position) = self.keep_waiting(request.request, mailbox) {
            return Heard::Queued(self.position(position));
        }
        self.end_of(request.request, None).map_or(Heard::Absent, Heard::Ended)
    }

    pub(crate) fn renew(&mut self, request: &RenewRequest) -> Renewal {
        self.settle();
        let (now, keeps) = (self.now, self.has(Fault::RenewalsKeepTheTtl));
        let forgets = self.has(Fault::RenewalsForgetTheMailbox);
        let name = &request.lease;
        let Some(held) = self.named(name, Fault::RenewalsIgnoreTheToken) else {
            let end = self.end_of(name.request, Some(name.token));
            return end.map_or(Renewal::NotHeld, Renewal::Ended);
        };
        let expires_at = request.ttl.span().map(|span| now.after(span));
        held.unclaimed = false;
        held.lease.expires_at = expires_at;
        if !forgets {
            held.mailbox = request.mailbox.or(held.mailbox);
        }
        if !keeps {
            held.lease.ttl = request.ttl;
        }
        Renewal::Renewed { expires_at }
    }
}
