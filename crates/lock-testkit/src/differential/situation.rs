//! What a random command becomes in the situation in which it is sent.

use std::time::Duration;

use lock_core::{
    AcquireRequest, CancelRequest, EvictRequest, HeadStart, HearRequest, InspectQuery, KeepAlive,
    LeaseName, ListQuery, LockKey, Mode, Reason, ReleaseRequest, RenewRequest, RequestId,
    Timestamp, TransferRequest, TransferTo, WaitsQuery,
};

use super::call::Call;
use super::command::{Act, Kind, Named, Terms, Tick, Which, Who};
use super::domain::{self, CROWD, PREFIXES, REQUESTS};
use super::oracle::Oracle;

impl Act {
    /// The commands that are sent: one mostly, many for a crowd, none for the passing of time.
    pub(super) fn calls(&self, oracle: &Oracle, sent: &[Call]) -> Vec<Call> {
        let on = |number: u8, who: &Who| {
            let key = domain::key(number);
            let request = who.request(oracle, &key);
            (key, request)
        };
        let reason = || Reason::parse("held {too} long: 5 min").expect("a valid reason");
        let at_most = |limit: u32| limit.try_into().expect("not zero");
        let call = match self {
            Self::Acquire { key, who, owner, terms, on_held } => {
                let (key, request) = on(*key, who);
                let request = AcquireRequest::new(request, key, domain::owner(*owner));
                Call::Acquire(terms.of(request).with_on_held(*on_held))
            }
            Self::Crowd { key, count, keep_alive, kind } => {
                let member = |number| crowd_member(*key, number, *keep_alive, *kind);
                let members = (0..(*count).min(CROWD)).map(member);
                let evicted = matches!(kind, Kind::EvictedReaders).then(|| {
                    Call::Evict(EvictRequest::all(domain::key(*key), domain::owner(0), reason()))
                });
                return members.chain(evicted).collect();
            }
            Self::Hear(requests) => {
                let hear = |(key, who, mailbox): &(u8, Who, Option<u8>)| {
                    let (key, request) = on(*key, who);
                    let mailbox = mailbox.map(domain::mailbox);
                    let request = HearRequest::new(key, request);
                    match mailbox {
                        Some(mailbox) => request.with_mailbox(mailbox),
                        None => request,
                    }
                };
                Call::Hear(requests.iter().map(hear).collect())
            }
            Self::Renew(requests) => {
                let renew = |(key, lease, ttl, mailbox): &(u8, Named, _, Option<u8>)| {
                    let request = RenewRequest::new(lease.on(oracle, *key), *ttl);
                    match mailbox.map(domain::mailbox) {
                        Some(mailbox) => request.with_mailbox(mailbox),
                        None => request,
                    }
                };
                Call::Renew(requests.iter().map(renew).collect())
            }
            Self::Release { key, lease } => {
                Call::Release(ReleaseRequest::new(lease.on(oracle, *key)))
            }
            Self::Cancel { key, who, answer_outstanding } => {
                let (key, request) = on(*key, who);
                let request = CancelRequest::new(key, request);
                Call::Cancel(request.with_answer_outstanding(*answer_outstanding))
            }
            Self::Transfer { key, lease, to, owner, metadata, by } => {
                let request = to.request(oracle, &domain::key(*key));
                let to = match owner {
                    None => TransferTo::Waiter(request),
                    Some(owner) => {
                        let (owner, metadata) =
                            (domain::owner(*owner), domain::metadata(*metadata));
                        TransferTo::Owner { owner, request, metadata }
                    }
                };
                let by = domain::owner(*by);
                Call::Transfer(TransferRequest::new(lease.on(oracle, *key), by, to))
            }
            Self::EvictAll { key, by } => {
                Call::Evict(EvictRequest::all(domain::key(*key), domain::owner(*by), reason()))
            }
            Self::EvictLease { key, lease, by } => {
                let lease = lease.on(oracle, *key);
                Call::Evict(EvictRequest::lease(lease, domain::owner(*by), reason()))
            }
            Self::EvictWaiter { key, who, by } => {
                let (key, request) = on(*key, who);
                Call::Evict(EvictRequest::waiter(key, request, domain::owner(*by), reason()))
            }
            Self::Inspect { key, limit } => {
                let query = InspectQuery::new(domain::key(*key));
                Call::Inspect(query.with_limit(at_most(*limit)))
            }
            Self::List { prefix, owner, limit } => {
                let prefix = PREFIXES[usize::from(*prefix) % PREFIXES.len()];
                let query = ListQuery::all().with_prefix(prefix);
                let query = match owner {
                    None => query,
                    Some(owner) => query.with_owner(domain::owner(*owner)),
                };
                Call::List(query.with_limit(at_most(*limit)))
            }
            Self::WaitsOfOwner { owner, limit } => {
                let query = WaitsQuery::new(domain::owner(*owner));
                Call::WaitsOf(query.with_limit(at_most(*limit)))
            }
            Self::WaitsOfSession { session, limit } => {
                let query = WaitsQuery::new(domain::session(*session));
                Call::WaitsOf(query.with_limit(at_most(*limit)))
            }
            Self::Again { back } => {
                return sent.iter().rev().nth((*back).into()).cloned().into_iter().collect();
            }
            Self::Clock(_) => return Vec::new(),
        };
        vec![call]
    }

    /// Where the clock stands after the command, if that moves it.
    pub(super) fn moves_clock_to(&self, oracle: &Oracle) -> Option<Timestamp> {
        let Self::Clock(tick) = self else { return None };
        let now = oracle.now;
        let to = |micros: u64| Some(Timestamp::from_micros(micros));
        match tick {
            Tick::Forward(span) => Some(now.after(*span)),
            Tick::ToEnd { number, micros } => {
                let ends = oracle.deadlines();
                let end = ends.get(usize::from(*number) % ends.len().max(1))?;
                to(end.as_micros().saturating_add_signed((*micros).into()))
            }
            Tick::Back(span) => to(now.as_micros().saturating_sub(span.as_micros() as u64)),
        }
    }
}

impl Terms {
    fn of(&self, request: AcquireRequest) -> AcquireRequest {
        let request = request
            .with_mode(self.mode)
            .with_ttl(self.ttl)
            .with_head_start(self.head_start)
            .with_metadata(domain::metadata(self.metadata));
        let request = match self.session {
            Some(session) => request.with_session(domain::session(session)),
            None => request,
        };
        match self.mailbox {
            Some(mailbox) => request.with_mailbox(domain::mailbox(mailbox)),
            None => request,
        }
    }
}

impl Named {
    fn on(self, oracle: &Oracle, key: u8) -> LeaseName {
        let key = domain::key(key);
        let request = self.who.request(oracle, &key);
        oracle.name(
            &key,
            request,
            match self.which {
                Which::Last => 0,
                Which::LastButOne => 1,
                Which::Never => usize::MAX,
            },
        )
    }
}

impl Who {
    fn request(self, oracle: &Oracle, key: &LockKey) -> RequestId {
        let (number, requests) = match self {
            Self::Number(number) => return domain::request(number),
            Self::Holder(number) => (number, oracle.holders(key)),
            Self::Waiter(number) => (number, oracle.waiters(key)),
        };
        let chosen = requests.get(usize::from(number) % requests.len().max(1));
        chosen.copied().unwrap_or_else(|| domain::request(number % REQUESTS))
    }
}

/// Members of a mixed crowd differ in mode, rank and patience; of the others only the rank of a few
/// is better, so that not all fall silent in the order of the queue.
fn crowd_member(key: u8, number: u8, keep_alive: KeepAlive, kind: Kind) -> Call {
    let (key, owner) = (domain::key(key), domain::owner(number));
    let request = AcquireRequest::new(domain::request(REQUESTS + number), key, owner)
        .with_session(domain::session(number / 2))
        .with_mailbox(domain::mailbox(number));
    let request = match number % 7 {
        3 => request.with_head_start(HeadStart::parse(Duration::from_secs(120)).expect("valid")),
        _ => request,
    };
    let longer = keep_alive.span() * u32::from(number % 3 + 1);
    let longer = KeepAlive::parse(longer).expect("three times a short span");
    Call::Acquire(match kind {
        Kind::Exclusive => request.queueing(keep_alive),
        Kind::Mixed if number % 5 < 3 => request.with_mode(Mode::READER).queueing(longer),
        Kind::Mixed => request.queueing(longer),
        Kind::Readers | Kind::EvictedReaders => {
            request.with_mode(Mode::READER).queueing(keep_alive)
        }
    })
}
