//! Random commands, which are resolved against the state in which they are sent.

use std::num::NonZeroU32;
use std::time::Duration;

use lock_core::{HeadStart, KeepAlive, Mode, OnHeld, Timeout, Ttl};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::values::{CROWD, KEYS, MAILBOXES, OWNERS, PREFIXES, REQUESTS, SESSIONS};

/// A random command, whose subject is resolved when it is sent: "the first holder" is another
/// request in each state.
#[derive(Clone, Debug)]
pub struct Command {
    pub(super) step: Step,
    /// True if the keys are inspected afterwards, with a command of its own.
    pub(super) look: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Acquire {
        key: u8,
        request_ref: RequestRef,
        owner: u8,
        terms: Terms,
        on_held: OnHeld,
    },
    /// Asks for the key in the place of a lease.
    Upgrade {
        key: u8,
        request_ref: RequestRef,
        lease: LeaseRef,
        owner: u8,
        terms: Terms,
        on_held: OnHeld,
    },
    /// The first holders ask for the key in the place of their leases.
    Upgrades {
        key: u8,
        count: u8,
        keep_alive: KeepAlive,
    },
    /// This many new requests queue one after another.
    Crowd {
        key: u8,
        count: u8,
        keep_alive: KeepAlive,
        kind: Kind,
    },
    Hear(Vec<(u8, RequestRef, Option<u8>)>),
    Renew(Vec<(u8, LeaseRef, Ttl, Option<u8>)>),
    Release {
        key: u8,
        lease: LeaseRef,
    },
    Cancel {
        key: u8,
        request_ref: RequestRef,
        answer_outstanding: bool,
    },
    Transfer {
        key: u8,
        lease: LeaseRef,
        to: RequestRef,
        owner: Option<u8>,
        metadata: u8,
        by: u8,
    },
    EvictAll {
        key: u8,
        by: u8,
    },
    EvictLease {
        key: u8,
        lease: LeaseRef,
        by: u8,
    },
    EvictWaiter {
        key: u8,
        request_ref: RequestRef,
        by: u8,
    },
    RequestRelease {
        key: u8,
        by: u8,
        within: Timeout,
        up_to: Option<LeaseRef>,
    },
    Inspect {
        key: u8,
        limit: u32,
    },
    List {
        prefix: u8,
        owner: Option<u8>,
        limit: u32,
    },
    WaitsOfOwner {
        owner: u8,
        limit: u32,
    },
    WaitsOfSession {
        session: u8,
        limit: u32,
    },
    /// Repeats the command this many before, as after a lost answer.
    Again {
        back: u8,
    },
    Clock(Tick),
}

#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) mode: Mode,
    pub(super) ttl: Ttl,
    pub(super) head_start: HeadStart,
    pub(super) metadata: u8,
    /// `None` means a session of its own.
    pub(super) session: Option<u8>,
    pub(super) mailbox: Option<u8>,
}

/// The members of a crowd.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Exclusive requests, of which a few have a head start.
    Exclusive,
    /// Requests of different modes, ranks and keep-alives.
    Mixed,
    /// Readers, which hold together if they can.
    Readers,
    /// Readers, after which all leases of the key are evicted: those of as many readers as one
    /// command ends, or the one that they wait for.
    EvictedReaders,
    /// Readers, after which all holders of the key are asked to release.
    AskedReaders,
}

/// A lease of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseRef {
    pub(super) request_ref: RequestRef,
    pub(super) generation: LeaseGeneration,
}

/// One of the leases that a request ever had on a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum LeaseGeneration {
    Last,
    LastButOne,
    /// No lease: the token is too low for any.
    Never,
}

/// A choice of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum RequestRef {
    Number(u8),
    Holder(u8),
    Waiter(u8),
}

/// A movement of the clock.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tick {
    Forward(Duration),
    /// To the upcoming end of this number, or this many microseconds before or after it.
    ToEnd {
        number: u8,
        micros: i8,
    },
    Back(Duration),
}

/// Sequences of about fifty commands.
pub fn commands() -> impl Strategy<Value = Vec<Command>> {
    let look = prop_oneof![1 => Just(false), 2 => Just(true)];
    let command = (step(), look).prop_map(|(step, look)| Command { step, look });
    vec(command, 1..100)
}

fn step() -> impl Strategy<Value = Step> {
    let (some_owner, to) = (option::of(owner()), option::of(owner()));
    let transfer = (key(), named(), mostly_waiter(), to, 0..3_u8, owner());
    let limit = || select(vec![100, 1, 2, 3]);
    // 64 is the bound of one command.
    let crowd = prop_oneof![1 => 1..8_u8, 1 => Just(64), 5 => 70..=CROWD];
    let kind = select(vec![
        Kind::Exclusive,
        Kind::Mixed,
        Kind::Readers,
        Kind::EvictedReaders,
        Kind::AskedReaders,
    ]);
    prop_oneof![
        120 => (key(), request_ref(), owner(), terms(), on_held()).prop_map(
            |(key, request_ref, owner, terms, on_held)| Step::Acquire { key, request_ref, owner, terms, on_held }
        ),
        8 => (key(), request_ref(), named(), owner(), terms(), on_held()).prop_map(
            |(key, request_ref, lease, owner, terms, on_held)| {
                Step::Upgrade { key, request_ref, lease, owner, terms, on_held }
            }
        ),
        20 => (key(), 1..4_u8, keep_alive()).prop_map(|(key, count, keep_alive)| {
            Step::Upgrades { key, count, keep_alive }
        }),
        4 => (key(), crowd, keep_alive(), kind).prop_map(
            |(key, count, keep_alive, kind)| Step::Crowd { key, count, keep_alive, kind }
        ),
        30 => vec((key(), mostly_waiter(), mailbox()), 1..4).prop_map(Step::Hear),
        24 => vec((key(), named(), ttl(), mailbox()), 1..4).prop_map(Step::Renew),
        40 => (key(), named()).prop_map(|(key, lease)| Step::Release { key, lease }),
        24 => (key(), mostly_waiter(), any::<bool>()).prop_map(|(key, request_ref, answer_outstanding)| {
            Step::Cancel { key, request_ref, answer_outstanding }
        }),
        36 => transfer.prop_map(|(key, lease, to, owner, metadata, by)| {
            Step::Transfer { key, lease, to, owner, metadata, by }
        }),
        8 => (key(), owner()).prop_map(|(key, by)| Step::EvictAll { key, by }),
        6 => (key(), named(), owner()).prop_map(|(key, lease, by)| {
            Step::EvictLease { key, lease, by }
        }),
        6 => (key(), mostly_waiter(), owner()).prop_map(|(key, request_ref, by)| {
            Step::EvictWaiter { key, request_ref, by }
        }),
        6 => (key(), owner(), within(), option::of(named())).prop_map(|(key, by, within, up_to)| {
            Step::RequestRelease { key, by, within, up_to }
        }),
        6 => (key(), limit()).prop_map(|(key, limit)| Step::Inspect { key, limit }),
        8 => (0..PREFIXES.len() as u8, some_owner, limit()).prop_map(|(prefix, owner, limit)| {
            Step::List { prefix, owner, limit }
        }),
        4 => (owner(), limit()).prop_map(|(owner, limit)| Step::WaitsOfOwner { owner, limit }),
        4 => (0..SESSIONS, limit())
            .prop_map(|(session, limit)| Step::WaitsOfSession { session, limit }),
        24 => (1..4_u8).prop_map(|back| Step::Again { back }),
        70 => tick().prop_map(Step::Clock),
    ]
}

/// Mostly the first key, so that it is contended.
fn key() -> impl Strategy<Value = u8> {
    prop_oneof![3 => Just(0), 1 => 1..KEYS.len() as u8]
}

fn owner() -> impl Strategy<Value = u8> {
    0..OWNERS.len() as u8
}

fn request_ref() -> impl Strategy<Value = RequestRef> {
    prop_oneof![
        6 => (0..REQUESTS).prop_map(RequestRef::Number),
        1 => (REQUESTS..REQUESTS + CROWD).prop_map(RequestRef::Number),
        3 => (0..4_u8).prop_map(RequestRef::Holder),
        3 => (0..8_u8).prop_map(RequestRef::Waiter),
    ]
}

fn mostly_holder() -> impl Strategy<Value = RequestRef> {
    prop_oneof![3 => (0..4_u8).prop_map(RequestRef::Holder), 2 => request_ref()]
}

fn mostly_waiter() -> impl Strategy<Value = RequestRef> {
    prop_oneof![1 => (0..8_u8).prop_map(RequestRef::Waiter), 1 => request_ref()]
}

fn named() -> impl Strategy<Value = LeaseRef> {
    let generation = prop_oneof![
        8 => Just(LeaseGeneration::Last),
        2 => Just(LeaseGeneration::LastButOne),
        1 => Just(LeaseGeneration::Never),
    ];
    (mostly_holder(), generation)
        .prop_map(|(request_ref, generation)| LeaseRef { request_ref, generation })
}

fn mailbox() -> impl Strategy<Value = Option<u8>> {
    option::of(0..MAILBOXES)
}

fn terms() -> impl Strategy<Value = Terms> {
    let session = option::of(0..SESSIONS);
    (mode(), ttl(), head_start(), 0..3_u8, session, mailbox()).prop_map(
        |(mode, ttl, head_start, metadata, session, mailbox)| Terms {
            mode,
            ttl,
            head_start,
            metadata,
            session,
            mailbox,
        },
    )
}

fn mode() -> impl Strategy<Value = Mode> {
    let semaphore = |permits| Mode::semaphore(permits).expect("a valid mode");
    select(vec![Mode::Exclusive, Mode::READER, semaphore(2), semaphore(3)])
}

fn ttl() -> impl Strategy<Value = Ttl> {
    let span = |millis| Ttl::parse(Duration::from_millis(millis)).expect("a valid ttl");
    prop_oneof![
        3 => select(vec![span(60_000), span(1), span(20), span(1_000), span(10_000)]),
        1 => (1..60_000_u64).prop_map(span),
        1 => Just(Ttl::Never),
    ]
}

fn within() -> impl Strategy<Value = Timeout> {
    let span = |millis| Timeout::parse(Duration::from_millis(millis)).expect("a valid span");
    prop_oneof![1 => Just(span(1)), 1 => (1..86_400_000_u64).prop_map(span)]
}

fn keep_alive() -> impl Strategy<Value = KeepAlive> {
    let span = |millis| KeepAlive::parse(Duration::from_millis(millis)).expect("a valid span");
    prop_oneof![
        3 => select(vec![span(20_000), span(1), span(20), span(1_000), span(10_000)]),
        1 => (1..20_000_u64).prop_map(span),
    ]
}

fn head_start() -> impl Strategy<Value = HeadStart> {
    const DAY: u64 = 24 * 60 * 60;
    let span = |seconds| HeadStart::parse(Duration::from_secs(seconds)).expect("a valid span");
    prop_oneof![
        10 => Just(HeadStart::NONE),
        9 => select(vec![span(120), span(240), span(1)]),
        1 => Just(span(3660 * DAY)),
    ]
}

fn on_held() -> impl Strategy<Value = OnHeld> {
    let limit = select(vec![0, 0, 0, 0, 1, 2, 5]).prop_map(NonZeroU32::new);
    prop_oneof![
        5 => (keep_alive(), limit)
            .prop_map(|(keep_alive, queue_limit)| OnHeld::Queue { keep_alive, queue_limit }),
        1 => Just(OnHeld::Refuse),
    ]
}

fn tick() -> impl Strategy<Value = Tick> {
    let micros = prop_oneof![2 => Just(0_i8), 1 => Just(-1), 1 => Just(1)];
    prop_oneof![
        1 => (1..3_u64).prop_map(|micros| Tick::Forward(Duration::from_micros(micros))),
        3 => (1..2_000_u64).prop_map(|millis| Tick::Forward(Duration::from_millis(millis))),
        1 => (2..90_u64).prop_map(|seconds| Tick::Forward(Duration::from_secs(seconds))),
        1 => select(vec![300, 3600])
            .prop_map(|seconds| Tick::Forward(Duration::from_secs(seconds))),
        6 => (0..8_u8, micros).prop_map(|(number, micros)| Tick::ToEnd { number, micros }),
        1 => (1..10_000_000_u64).prop_map(|micros| Tick::Back(Duration::from_micros(micros))),
    ]
}
