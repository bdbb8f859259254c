//! Random commands of a few requests, and the values that they are made of.

use std::num::NonZeroU32;
use std::time::Duration;

use lock_core::{
    AcquireRequest, HeadStart, KeepAlive, LockKey, MailboxId, Metadata, Mode, OnHeld, OwnerId,
    Reason, RequestId, SessionId, Ttl,
};
use proptest::prelude::*;

/// A command of one of a few requests, or a move of the clock.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Acquire { request: u8, terms: Terms },
    Hear { request: u8, mailbox: u8 },
    Renew { request: u8, ttl: u8, mailbox: u8, name: Name },
    Release { request: u8, name: Name },
    Cancel { request: u8, answer_outstanding: bool },
    Transfer { from: u8, name: Name, to: u8, waiter: bool },
    EvictAll,
    EvictLease { request: u8, name: Name },
    EvictWaiter { request: u8 },
    Inspect { limit: u32 },
    Forward { micros: u64 },
    Back { micros: u64 },
}

/// Options of an acquire.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    mode: u8,
    ttl: u8,
    head_start: u8,
    keep_alive: u8,
    queue_limit: u32,
    queue: bool,
    mailbox: u8,
}

/// Which of its tokens a command says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// That of the lease that the request holds.
    Present,
    /// That of the lease that it held before.
    Older,
}

pub(crate) const REQUESTS: u8 = 8;

pub(crate) fn actions() -> impl Strategy<Value = Vec<Action>> {
    proptest::collection::vec(action(), 1..60)
}

fn action() -> impl Strategy<Value = Action> {
    let request = || 0..REQUESTS;
    let name = || prop_oneof![3 => Just(Name::Present), 1 => Just(Name::Older)];
    prop_oneof![
        10 => (request(), terms()).prop_map(|(request, terms)| Action::Acquire { request, terms }),
        4 => (request(), 0..3_u8)
            .prop_map(|(request, mailbox)| Action::Hear { request, mailbox }),
        3 => (request(), 0..4_u8, 0..3_u8, name()).prop_map(|(request, ttl, mailbox, name)| {
            Action::Renew { request, ttl, mailbox, name }
        }),
        4 => (request(), name()).prop_map(|(request, name)| Action::Release { request, name }),
        2 => (request(), any::<bool>()).prop_map(|(request, answer_outstanding)| {
            Action::Cancel { request, answer_outstanding }
        }),
        2 => (request(), name(), request(), any::<bool>())
            .prop_map(|(from, name, to, waiter)| Action::Transfer { from, name, to, waiter }),
        1 => Just(Action::EvictAll),
        1 => (request(), name()).prop_map(|(request, name)| Action::EvictLease { request, name }),
        1 => request().prop_map(|request| Action::EvictWaiter { request }),
        1 => (1..4_u32).prop_map(|limit| Action::Inspect { limit }),
        7 => prop_oneof![
            0..3_u64,
            0..2_000_000_u64,
            5_000_000..40_000_000_u64,
            Just(10_000_000),
            Just(20_000_000),
            100_000_000..4_000_000_000_u64,
        ].prop_map(|micros| Action::Forward { micros }),
        1 => prop_oneof![1..3_u64, 1..4_000_000_000_u64]
            .prop_map(|micros| Action::Back { micros }),
    ]
}

fn terms() -> impl Strategy<Value = Terms> {
    let limit = prop_oneof![3 => Just(0), 1 => 1..4_u32];
    (
        0..4_u8,
        0..5_u8,
        0..4_u8,
        0..3_u8,
        limit,
        prop_oneof![1 => Just(false), 3 => Just(true)],
        0..3_u8,
    )
        .prop_map(|(mode, ttl, head_start, keep_alive, queue_limit, queue, mailbox)| Terms {
            mode,
            ttl,
            head_start,
            keep_alive,
            queue_limit,
            queue,
            mailbox,
        })
}

impl Terms {
    pub(crate) fn of(&self, request: u8) -> AcquireRequest {
        let head_start = Duration::from_secs(2) * u32::from(self.head_start);
        let on_held = match self.queue {
            true => OnHeld::Queue {
                keep_alive: keep_alive(self.keep_alive),
                queue_limit: NonZeroU32::new(self.queue_limit),
            },
            false => OnHeld::Refuse,
        };
        let number = request.to_string();
        let metadata = Metadata::parse([("number", number.as_str())]).expect("valid metadata");
        let asked = AcquireRequest::new(id(request), key(), owner(request))
            .with_session(SessionId::from_bits(u128::from(request % 5) + 1))
            .with_mode(mode(self.mode))
            .with_ttl(ttl(self.ttl))
            .with_head_start(HeadStart::parse(head_start).expect("a valid head start"))
            .with_on_held(on_held)
            .with_metadata(metadata);
        match mailbox(self.mailbox) {
            Some(mailbox) => asked.with_mailbox(mailbox),
            None => asked,
        }
    }
}

pub(crate) fn key() -> LockKey {
    LockKey::parse("key").expect("a valid key")
}

pub(crate) fn owner(request: u8) -> OwnerId {
    OwnerId::parse(format!("owner-{}", request % 3)).expect("a valid owner")
}

/// In whose name leases are handed over.
pub(crate) fn giver() -> OwnerId {
    OwnerId::parse("giver").expect("a valid owner")
}

pub(crate) fn reason() -> Reason {
    Reason::parse("test").expect("a valid reason")
}

pub(crate) fn id(request: u8) -> RequestId {
    RequestId::from_bits(u128::from(request) + 1)
}

pub(crate) fn mailbox(choice: u8) -> Option<MailboxId> {
    (choice > 0).then(|| MailboxId::from_bits(choice.into()))
}

pub(crate) fn mode(choice: u8) -> Mode {
    let limit = |limit| Mode::Shared { limit: NonZeroU32::new(limit) };
    [Mode::Exclusive, Mode::READER, limit(2), limit(3)][usize::from(choice)]
}

/// The fourth lasts longer than a mark at least does, the last never ends.
pub(crate) fn ttl(choice: u8) -> Ttl {
    let millis = |millis| Ttl::parse(Duration::from_millis(millis)).expect("a valid ttl");
    [millis(1), millis(900), millis(30_000), millis(1_200_000), Ttl::Never][usize::from(choice)]
}

/// The last is longer than a mark at least lasts.
pub(crate) fn keep_alive(choice: u8) -> KeepAlive {
    let seconds = [10, 20, 600][usize::from(choice)];
    KeepAlive::parse(Duration::from_secs(seconds)).expect("a valid keep-alive")
}

impl Terms {
    /// Asks for an exclusive lease that never ends, and queues.
    pub(crate) const fn exclusive_for_ever() -> Self {
        let (mode, ttl, head_start, keep_alive) = (0, 4, 0, 0);
        let (queue_limit, queue, mailbox) = (0, true, 0);
        Self { mode, ttl, head_start, keep_alive, queue_limit, queue, mailbox }
    }
}
