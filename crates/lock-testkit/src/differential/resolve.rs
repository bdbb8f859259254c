//! Resolves a random command against the state in which it is sent.

use std::time::Duration;

use lock_core::{
    AcquireRequest, CancelRequest, EvictRequest, HeadStart, HearRequest, InspectQuery, KeepAlive,
    LeaseName, ListQuery, LockKey, Mode, Reason, ReleaseAppeal, ReleaseRequest, RenewRequest,
    RequestId, Timeout, Timestamp, TransferRequest, TransferTo, WaitsQuery,
};

use super::call::Call;
use super::command::{Kind, LeaseGeneration, LeaseRef, RequestRef, Step, Terms, Tick};
use super::oracle::Oracle;
use super::values::{self, CROWD, PREFIXES, REQUESTS};

impl Step {
    /// The commands to send: mostly one, many for a crowd, none if only time passes.
    pub(super) fn calls(&self, oracle: &Oracle, sent: &[Call]) -> Vec<Call> {
        let on = |number: u8, request_ref: &RequestRef| {
            let key = values::key(number);
            let request = request_ref.request(oracle, &key);
            (key, request)
        };
        let reason = || Reason::parse("held {too} long: 5 min").expect("a valid reason");
        let at_most = |limit: u32| limit.try_into().expect("not zero");
        let call = match self {
            Self::Acquire { key, request_ref, owner, terms, on_held } => {
                let (key, request) = on(*key, request_ref);
                let request = AcquireRequest::new(request, key, values::owner(*owner));
                Call::Acquire(terms.of(request).with_on_held(*on_held))
            }
            Self::Upgrade { key, request_ref, lease, owner, terms, on_held } => {
                let LeaseName { request: held, token, .. } = lease.on(oracle, *key);
                let (key, request) = on(*key, request_ref);
                let request = AcquireRequest::new(request, key, values::owner(*owner));
                let request = terms.of(request).with_on_held(*on_held);
                Call::Acquire(request.with_mode(Mode::Upgrade { request: held, token }))
            }
            Self::Upgrades { key, count, keep_alive } => {
                let named = |number| {
                    let request_ref = RequestRef::Holder(number);
                    LeaseRef { request_ref, generation: LeaseGeneration::Last }.on(oracle, *key)
                };
                let upgrade = |number| {
                    let LeaseName { key, request: held, token, .. } = named(number);
                    let request = values::request(REQUESTS - 1 - number);
                    let request = AcquireRequest::new(request, key, values::owner(number));
                    let request = request.with_mode(Mode::Upgrade { request: held, token });
                    Call::Acquire(
                        request.queueing(*keep_alive).with_mailbox(values::mailbox(number)),
                    )
                };
                return (0..*count).map(upgrade).collect();
            }
            Self::Crowd { key, count, keep_alive, kind } => {
                let member = |number| crowd_member(*key, number, *keep_alive, *kind);
                let members = (0..(*count).min(CROWD)).map(member);
                let (key, by) = (values::key(*key), values::owner(0));
                let last = match kind {
                    Kind::EvictedReaders => Some(Call::Evict(EvictRequest::all(key, by, reason()))),
                    Kind::AskedReaders => {
                        let appeal = ReleaseAppeal::new(key, by, reason(), minute());
                        Some(Call::RequestRelease(appeal))
                    }
                    Kind::Exclusive | Kind::Mixed | Kind::Readers => None,
                };
                return members.chain(last).collect();
            }
            Self::Hear(requests) => {
                let hear = |(key, request_ref, mailbox): &(u8, RequestRef, Option<u8>)| {
                    let (key, request) = on(*key, request_ref);
                    let mailbox = mailbox.map(values::mailbox);
                    let request = HearRequest::new(key, request);
                    match mailbox {
                        Some(mailbox) => request.with_mailbox(mailbox),
                        None => request,
                    }
                };
                Call::Hear(requests.iter().map(hear).collect())
            }
            Self::Renew(requests) => {
                let renew = |(key, lease, ttl, mailbox): &(u8, LeaseRef, _, Option<u8>)| {
                    let request = RenewRequest::new(lease.on(oracle, *key), *ttl);
                    match mailbox.map(values::mailbox) {
                        Some(mailbox) => request.with_mailbox(mailbox),
                        None => request,
                    }
                };
                Call::Renew(requests.iter().map(renew).collect())
            }
            Self::Release { key, lease } => {
                Call::Release(ReleaseRequest::new(lease.on(oracle, *key)))
            }
            Self::Cancel { key, request_ref, answer_outstanding } => {
                let (key, request) = on(*key, request_ref);
                let request = CancelRequest::new(key, request);
                Call::Cancel(request.with_answer_outstanding(*answer_outstanding))
            }
            Self::Transfer { key, lease, to, owner, metadata, by } => {
                let request = to.request(oracle, &values::key(*key));
                let to = match owner {
                    None => TransferTo::Waiter(request),
                    Some(owner) => {
                        let (owner, metadata) =
                            (values::owner(*owner), values::metadata(*metadata));
                        TransferTo::Owner { owner, request, metadata }
                    }
                };
                let by = values::owner(*by);
                Call::Transfer(TransferRequest::new(lease.on(oracle, *key), by, to))
            }
            Self::EvictAll { key, by } => {
                Call::Evict(EvictRequest::all(values::key(*key), values::owner(*by), reason()))
            }
            Self::EvictLease { key, lease, by } => {
                let lease = lease.on(oracle, *key);
                Call::Evict(EvictRequest::lease(lease, values::owner(*by), reason()))
            }
            Self::EvictWaiter { key, request_ref, by } => {
                let (key, request) = on(*key, request_ref);
                Call::Evict(EvictRequest::waiter(key, request, values::owner(*by), reason()))
            }
            Self::RequestRelease { key, by, within, up_to } => {
                let last = up_to.map(|lease| lease.on(oracle, *key).token);
                let (key, by) = (values::key(*key), values::owner(*by));
                let appeal = ReleaseAppeal::new(key, by, reason(), *within);
                Call::RequestRelease(match last {
                    Some(last) => appeal.up_to(last),
                    None => appeal,
                })
            }
            Self::Inspect { key, limit } => {
                let query = InspectQuery::new(values::key(*key));
                Call::Inspect(query.with_limit(at_most(*limit)))
            }
            Self::List { prefix, owner, limit } => {
                let prefix = PREFIXES[usize::from(*prefix) % PREFIXES.len()];
                let query = ListQuery::all().with_prefix(prefix);
                let query = match owner {
                    None => query,
                    Some(owner) => query.with_owner(values::owner(*owner)),
                };
                Call::List(query.with_limit(at_most(*limit)))
            }
            Self::WaitsOfOwner { owner, limit } => {
                let query = WaitsQuery::new(values::owner(*owner));
                Call::WaitsOf(query.with_limit(at_most(*limit)))
            }
            Self::WaitsOfSession { session, limit } => {
                let query = WaitsQuery::new(values::session(*session));
                Call::WaitsOf(query.with_limit(at_most(*limit)))
            }
            Self::Again { back } => {
                return sent.iter().rev().nth((*back).into()).cloned().into_iter().collect();
            }
            Self::Clock(_) => return Vec::new(),
        };
        vec![call]
    }

    /// The time after the command, if it moves the clock.
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

fn minute() -> Timeout {
    Timeout::parse(Duration::from_secs(60)).expect("a valid span")
}

impl Terms {
    fn of(&self, request: AcquireRequest) -> AcquireRequest {
        let request = request
            .with_mode(self.mode)
            .with_ttl(self.ttl)
            .with_head_start(self.head_start)
            .with_metadata(values::metadata(self.metadata));
        let request = match self.session {
            Some(session) => request.with_session(values::session(session)),
            None => request,
        };
        match self.mailbox {
            Some(mailbox) => request.with_mailbox(values::mailbox(mailbox)),
            None => request,
        }
    }
}

impl LeaseRef {
    fn on(self, oracle: &Oracle, key: u8) -> LeaseName {
        let key = values::key(key);
        let request = self.request_ref.request(oracle, &key);
        oracle.name(
            &key,
            request,
            match self.generation {
                LeaseGeneration::Last => 0,
                LeaseGeneration::LastButOne => 1,
                LeaseGeneration::Never => usize::MAX,
            },
        )
    }
}

impl RequestRef {
    fn request(self, oracle: &Oracle, key: &LockKey) -> RequestId {
        let (number, requests) = match self {
            Self::Number(number) => return values::request(number),
            Self::Holder(number) => (number, oracle.holders(key)),
            Self::Waiter(number) => (number, oracle.waiters(key)),
        };
        let chosen = requests.get(usize::from(number) % requests.len().max(1));
        chosen.copied().unwrap_or_else(|| values::request(number % REQUESTS))
    }
}

/// Members of a mixed crowd differ in mode, rank and keep-alive; in other crowds only a few have a
/// better rank, so that they do not all fall silent in the order of the queue.
fn crowd_member(key: u8, number: u8, keep_alive: KeepAlive, kind: Kind) -> Call {
    let (key, owner) = (values::key(key), values::owner(number));
    let request = AcquireRequest::new(values::request(REQUESTS + number), key, owner)
        .with_session(values::session(number / 2))
        .with_mailbox(values::mailbox(number));
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
        Kind::Readers | Kind::EvictedReaders | Kind::AskedReaders => {
            request.with_mode(Mode::READER).queueing(keep_alive)
        }
    })
}
