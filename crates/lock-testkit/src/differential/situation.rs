//! What a random command becomes in the situation in which it is sent.

use std::time::Duration;

use lock_core::{
    AcquireRequest, CancelRequest, EvictRequest, HeadStart, KeepAlive, ListQuery, LockKey, Mode,
    Reason, ReleaseRequest, RenewRequest, RequestId, Timestamp, TransferRequest, TransferTo, Ttl,
    WaitRequest,
};

use super::call::Call;
use super::command::{Act, Terms, Tick, Who};
use super::domain::{self, CROWD, PREFIXES, REQUESTS};
use super::oracle::Oracle;

/// How long a wait may last that must end at once.
const AT_ONCE: Duration = Duration::from_secs(5);

impl Act {
    /// The commands that are sent: one mostly, many for a crowd, none for the passing of time.
    pub(super) fn calls(&self, oracle: &Oracle, sent: &[Call]) -> Vec<Call> {
        let on = |number: u8, who: &Who| {
            let key = domain::key(number);
            let request = who.request(oracle, &key);
            (key, request)
        };
        let call = match self {
            Self::Acquire { key, who, owner, terms, on_held } => {
                let (key, request) = on(*key, who);
                let asked = AcquireRequest::new(request, key, domain::owner(*owner));
                Call::Acquire(terms.of(asked).with_on_held(*on_held))
            }
            Self::Crowd { key, count, keep_alive, is_mixed } => {
                let member = |number| crowd_member(*key, number, *keep_alive, *is_mixed);
                return (0..(*count).min(CROWD)).map(member).collect();
            }
            Self::Wait { key, who } => {
                let (key, request) = on(*key, who);
                Call::Wait(WaitRequest::new(key, request, AT_ONCE))
            }
            Self::Renew(renewals) => {
                let renewal = |(key, who, ttl): &(u8, Who, Ttl)| {
                    let (key, request) = on(*key, who);
                    RenewRequest::new(key, request, *ttl)
                };
                Call::Renew(renewals.iter().map(renewal).collect())
            }
            Self::Release { key, who } => {
                let (key, request) = on(*key, who);
                Call::Release(ReleaseRequest::new(key, request))
            }
            Self::Cancel { key, who } => {
                let (key, request) = on(*key, who);
                Call::Cancel(CancelRequest::new(key, request))
            }
            Self::Transfer { key, from, to, owner, metadata } => {
                let (key, from) = on(*key, from);
                let request = to.request(oracle, &key);
                let to = match owner {
                    None => TransferTo::Waiter(request),
                    Some(owner) => {
                        let (owner, metadata) =
                            (domain::owner(*owner), domain::metadata(*metadata));
                        TransferTo::Owner { owner, request, metadata }
                    }
                };
                Call::Transfer(TransferRequest::new(key, from, to))
            }
            Self::Evict { key, who, by } => {
                let reason = Reason::parse("held {too} long: 5 min").expect("a valid reason");
                let eviction = EvictRequest::new(domain::key(*key), domain::owner(*by), reason);
                match who {
                    None => Call::Evict(eviction),
                    Some(who) => Call::Evict(eviction.only(on(*key, who).1)),
                }
            }
            Self::Inspect { key } => Call::Inspect(domain::key(*key)),
            Self::List { prefix, owner, limit } => {
                let prefix = PREFIXES[usize::from(*prefix) % PREFIXES.len()];
                let query = ListQuery::all().with_prefix(prefix);
                let query = match owner {
                    None => query,
                    Some(owner) => query.with_owner(domain::owner(*owner)),
                };
                Call::List(query.with_limit((*limit).try_into().expect("not zero")))
            }
            Self::WaitsOf { owner } => Call::WaitsOf(domain::owner(*owner)),
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
    fn of(&self, asked: AcquireRequest) -> AcquireRequest {
        asked
            .with_mode(self.mode)
            .with_ttl(self.ttl)
            .with_head_start(self.head_start)
            .with_metadata(domain::metadata(self.metadata))
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
fn crowd_member(key: u8, number: u8, keep_alive: KeepAlive, is_mixed: bool) -> Call {
    let (key, owner) = (domain::key(key), domain::owner(number));
    let asked = AcquireRequest::new(domain::request(REQUESTS + number), key, owner);
    let asked = match number % 7 {
        3 => asked.with_head_start(HeadStart::parse(Duration::from_secs(120)).expect("valid")),
        _ => asked,
    };
    if !is_mixed {
        return Call::Acquire(asked.queueing(keep_alive));
    }
    let longer = keep_alive.span() * u32::from(number % 3 + 1);
    let keep_alive = KeepAlive::parse(longer).expect("three times a short span");
    let mode = if number % 5 < 3 { Mode::READER } else { Mode::Exclusive };
    Call::Acquire(asked.with_mode(mode).queueing(keep_alive))
}
