//! The state machine under random commands and times, against invariants in plain words.

#![expect(clippy::panic, reason = "a failed test panics")]

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use lock_core::machine::{KeyState, SWEEP, Step};
use lock_core::{
    AcquireRequest, Change, ChangeKinds, EvictRequest, FencingToken, HeadStart, Inspection,
    KeepAlive, LockKey, Metadata, Mode, OnHeld, OwnerId, Reason, Release, RenewRequest, Renewal,
    RequestId, Timestamp, Transfer, TransferRequest, TransferTo, Ttl, Waiter,
};
use proptest::prelude::*;

/// A command of one of a few requests, or the passing of time.
#[derive(Clone, Debug)]
enum Action {
    Acquire { request: u8, mode: u8, ttl: u8, head_start: u8, queue: bool },
    Renew { request: u8, ttl: u8 },
    Release { request: u8 },
    Cancel { request: u8 },
    Transfer { from: u8, to: u8, waiter: bool },
    Evict { request: Option<u8> },
    Inspect,
    Elapse { millis: u64 },
}

const REQUESTS: u8 = 8;

fn action() -> impl Strategy<Value = Action> {
    let request = 0..REQUESTS;
    prop_oneof![
        8 => (request.clone(), 0..4_u8, 0..4_u8, 0..4_u8, any::<bool>()).prop_map(
            |(request, mode, ttl, head_start, queue)| Action::Acquire {
                request, mode, ttl, head_start, queue
            }
        ),
        2 => (request.clone(), 0..4_u8).prop_map(|(request, ttl)| Action::Renew { request, ttl }),
        4 => request.clone().prop_map(|request| Action::Release { request }),
        2 => request.clone().prop_map(|request| Action::Cancel { request }),
        1 => (request.clone(), request.clone(), any::<bool>())
            .prop_map(|(from, to, waiter)| Action::Transfer { from, to, waiter }),
        1 => proptest::option::of(request).prop_map(|request| Action::Evict { request }),
        1 => Just(Action::Inspect),
        6 => prop_oneof![0..3_u64, 0..2_000_u64, 5_000..40_000_u64]
            .prop_map(|millis| Action::Elapse { millis }),
    ]
}

fn key() -> LockKey {
    LockKey::parse("key").expect("a valid key")
}

fn owner(request: u8) -> OwnerId {
    OwnerId::parse(format!("owner-{}", request % 3)).expect("a valid owner")
}

fn id(request: u8) -> RequestId {
    RequestId::from_bits(u128::from(request) + 1)
}

fn mode(choice: u8) -> Mode {
    let limit = |limit| Mode::Shared { limit: NonZeroU32::new(limit) };
    [Mode::Exclusive, Mode::READER, limit(2), limit(3)][usize::from(choice)]
}

fn ttl(choice: u8) -> Ttl {
    let millis = |millis| Ttl::parse(Duration::from_millis(millis)).expect("a valid ttl");
    [millis(1), millis(900), millis(30_000), Ttl::Never][usize::from(choice)]
}

fn keep_alive() -> KeepAlive {
    KeepAlive::parse(Duration::from_secs(10)).expect("a valid keep-alive")
}

fn asked(request: u8, mode_: u8, ttl_: u8, head_start: u8, queue: bool) -> AcquireRequest {
    let head_start = HeadStart::parse(Duration::from_secs(2) * u32::from(head_start));
    let asked = AcquireRequest::new(id(request), key(), owner(request))
        .with_mode(mode(mode_))
        .with_ttl(ttl(ttl_))
        .with_head_start(head_start.expect("a valid head start"));
    if queue { asked.queueing(keep_alive()) } else { asked.with_on_held(OnHeld::Refuse) }
}

/// What a request has, as its events tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    Nothing,
    Place,
    Lease,
}

/// A key under test, with what its events told so far.
struct Bench {
    state: KeyState,
    now: Timestamp,
    last_token: Option<FencingToken>,
    story: HashMap<RequestId, Has>,
    /// When each waiting request joined, counted in commands.
    joined: HashMap<RequestId, u64>,
    commands: u64,
}

impl Bench {
    fn new() -> Self {
        Self {
            state: KeyState::default(),
            now: Timestamp::from_micros(1_800_000_000_000_000),
            last_token: None,
            story: HashMap::new(),
            joined: HashMap::new(),
            commands: 0,
        }
    }

    /// Runs a command and checks what its events tell.
    fn run<R>(&mut self, command: impl FnOnce(&mut KeyState, &mut Step) -> R) -> R {
        self.commands += 1;
        let before: Vec<Waiter> = self.state.waiters(self.now).collect();
        let mut step = Step::new(self.now, self.last_token, ChangeKinds::ALL);
        let reply = command(&mut self.state, &mut step);
        self.last_token = step.last_token;
        let mut highest = None;
        for change in &step.effects.changes {
            self.tell(change, &before, &mut highest);
        }
        self.check_present();
        reply
    }

    /// A request has one effect: what it has changes only as the rules say.
    fn tell(&mut self, change: &Change, before: &[Waiter], highest: &mut Option<FencingToken>) {
        use Has::{Lease, Nothing, Place};
        let (request, from, to): (_, &[Has], _) = match change {
            Change::Queued(waiter) => (waiter.request, &[Nothing], Place),
            Change::Granted(lease) => (lease.request, &[Nothing, Place], Lease),
            Change::Released(lease) | Change::Expired(lease) | Change::Evicted { lease, .. } => {
                (lease.request, &[Lease], Nothing)
            }
            Change::Cancelled(waiter) | Change::Lapsed(waiter) => {
                (waiter.request, &[Place], Nothing)
            }
            Change::Transferred { from, to } => {
                self.become_(from.request, &[Lease], Nothing, change);
                (to.request, &[Nothing, Place], Lease)
            }
            other => panic!("an unknown change: {other:?}"),
        };
        if let Change::Queued(waiter) = change {
            self.joined.insert(waiter.request, self.commands);
        }
        if let Change::Granted(lease) | Change::Transferred { to: lease, .. } = change {
            assert!(Some(lease.token) > *highest, "tokens increase: {change:?}");
            assert!(lease.token.get() >= self.now.as_micros(), "tokens follow the clock");
            *highest = Some(lease.token);
        }
        if let Change::Granted(lease) = change {
            self.check_overtaking(lease.request, before);
        }
        self.become_(request, from, to, change);
    }

    fn become_(&mut self, request: RequestId, from: &[Has], to: Has, change: &Change) {
        let has = self.story.entry(request).or_insert(Has::Nothing);
        assert!(from.contains(has), "{request} has {has:?} when {change:?}");
        *has = to;
        if to != Has::Place {
            self.joined.remove(&request);
        }
    }

    /// Nobody is overtaken by one that came later than its head start allows.
    fn check_overtaking(&self, granted: RequestId, before: &[Waiter]) {
        let rank = |arrival: Timestamp, head_start: HeadStart| {
            i128::from(arrival.as_micros()) - head_start.span().as_micros() as i128
        };
        let still_waiting: Vec<Waiter> = self.state.waiters(self.now).collect();
        let was_waiting = before.iter().find(|waiter| waiter.request == granted);
        let mine = match was_waiting {
            Some(waiter) => rank(waiter.enqueued_at, waiter.head_start),
            // A newcomer: its head start is at most six seconds.
            None => i128::from(self.now.as_micros()) - 6_000_000,
        };
        for waiter in still_waiting.iter().filter(|waiter| !self.is_newer(waiter, granted)) {
            let theirs = rank(waiter.enqueued_at, waiter.head_start);
            assert!(mine <= theirs, "{granted} overtook {waiter:?}");
        }
    }

    /// Whether a waiter came after the request, or in the same command.
    fn is_newer(&self, waiter: &Waiter, than: RequestId) -> bool {
        let joined = |request| self.joined.get(&request).copied().unwrap_or(self.commands);
        joined(waiter.request) >= joined(than)
    }

    /// What must hold after every command.
    fn check_present(&self) {
        let leases: Vec<_> = self.state.leases().collect();
        if let Some(first) = leases.first() {
            let room = match first.mode {
                Mode::Exclusive => 1,
                Mode::Shared { limit } => limit.map_or(u32::MAX, NonZeroU32::get) as usize,
            };
            assert!(leases.len() <= room, "more leases than the mode allows: {leases:?}");
            assert!(leases.iter().all(|lease| lease.mode == first.mode), "{leases:?}");
        }
        assert!(leases.iter().all(|lease| !lease.is_over(self.now)), "a dead lease: {leases:?}");
        let waiters: Vec<_> = self.state.waiters(self.now).collect();
        if let Some(head) = waiters.first() {
            let fits = leases.is_empty()
                || leases.iter().all(|lease| lease.mode == head.mode)
                    && match head.mode {
                        Mode::Exclusive => false,
                        Mode::Shared { limit } => {
                            limit.is_none_or(|limit| leases.len() < limit.get() as usize)
                        }
                    };
            assert!(!fits, "the head waits although it fits: {head:?} behind {leases:?}");
        }
        for (request, has) in &self.story {
            let holds = leases.iter().any(|lease| lease.request == *request);
            let waits = waiters.iter().any(|waiter| waiter.request == *request);
            assert_eq!((holds, waits), (*has == Has::Lease, *has == Has::Place), "{request}");
        }
        assert_eq!(self.state.is_idle(), leases.is_empty() && waiters.is_empty());
    }

    fn inspect(&mut self) -> Inspection {
        self.run(|state, step| state.inspect(step, &key()))
    }

    /// Asks, and at once asks again: the second answer is the first.
    fn acquire(&mut self, asked: &AcquireRequest) {
        let first = self.run(|state, step| state.acquire(step, asked));
        let seen = self.inspect();
        let second = self.run(|state, step| state.acquire(step, asked));
        assert_eq!(first, second, "the repeat was answered otherwise");
        assert_eq!(self.inspect(), seen, "the repeat changed something");
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Acquire { request, mode, ttl, head_start, queue } => {
                self.acquire(&asked(request, mode, ttl, head_start, queue));
            }
            Action::Renew { request, ttl: choice } => {
                let before = self.inspect();
                let renewal = RenewRequest::new(key(), id(request), ttl(choice));
                let held = before.leases.iter().find(|lease| lease.request == id(request));
                match self.run(|state, step| state.renew(step, &renewal)) {
                    Renewal::Renewed(lease) => {
                        let end = ttl(choice).span().map(|span| self.now.after(span));
                        assert_eq!(lease.expires_at, end);
                        assert_eq!(Some(lease.token), held.map(|lease| lease.token));
                    }
                    Renewal::NotHeld => {
                        assert_eq!(held, None);
                        assert_eq!(self.inspect(), before);
                    }
                    other => panic!("an unknown renewal: {other:?}"),
                }
            }
            Action::Release { request } => {
                let before = self.inspect();
                let held = before.leases.iter().any(|lease| lease.request == id(request));
                let released = self.run(|state, step| state.release(step, id(request)));
                assert_eq!(released == Release::Released, held);
                if !held {
                    assert_eq!(self.inspect(), before, "a refused release changed something");
                }
                let again = self.run(|state, step| state.release(step, id(request)));
                assert_eq!(again, Release::NotHeld);
            }
            Action::Cancel { request } => {
                let _ = self.run(|state, step| state.cancel(step, id(request)));
                assert!(matches!(self.story.get(&id(request)), None | Some(Has::Nothing)));
            }
            Action::Transfer { from, to, waiter } => self.transfer(from, to, waiter),
            Action::Evict { request } => {
                let (by, reason) = (owner(0), Reason::parse("test").expect("a valid reason"));
                let mut eviction = EvictRequest::new(key(), by, reason);
                eviction.request = request.map(id);
                let before = self.inspect();
                let evicted = self.run(|state, step| state.evict(step, &eviction)).leases;
                let expected = before.leases.into_iter();
                let expected =
                    expected.filter(|it| request.is_none_or(|one| it.request == id(one)));
                assert_eq!(evicted, expected.collect::<Vec<_>>());
            }
            Action::Inspect => {
                let first = self.inspect();
                assert_eq!(self.inspect(), first);
            }
            Action::Elapse { millis } => self.now = self.now.after(Duration::from_millis(millis)),
        }
    }

    fn transfer(&mut self, from: u8, to: u8, waiter: bool) {
        let before = self.inspect();
        let (owner, request, metadata) = (owner(to), id(to), Metadata::default());
        let to = if waiter {
            TransferTo::Waiter(request)
        } else {
            TransferTo::Owner { owner, request, metadata }
        };
        let given = TransferRequest::new(key(), id(from), to);
        let first = self.run(|state, step| state.transfer(step, &given));
        if let Transfer::Transferred(lease) = &first {
            assert_eq!(lease.request, request);
            let giver = before.leases.iter().find(|lease| lease.request == id(from));
            assert!(
                giver.is_none_or(|giver| giver.mode == lease.mode && giver.token < lease.token)
            );
            let again = self.run(|state, step| state.transfer(step, &given));
            if from != u8::MAX && id(from) != request {
                assert_eq!(again, first, "a repeated transfer");
            }
        } else {
            assert_eq!(self.inspect(), before, "a refused transfer changed something");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn invariants_hold_under_any_commands(actions in proptest::collection::vec(action(), 1..60)) {
        let mut bench = Bench::new();
        for action in &actions {
            bench.act(action);
        }
        // Nothing is left behind when all have gone.
        for request in 0..REQUESTS {
            bench.act(&Action::Cancel { request });
        }
        prop_assert!(bench.state.is_idle());
    }

    /// The clock may stand still or jump anywhere: order and tokens do not depend on it.
    #[test]
    fn tokens_and_arrivals_keep_their_order_whatever_the_clock_does(
        times in proptest::collection::vec(0..4_000_000_000_000_000_u64, 2..40),
    ) {
        let mut state = KeyState::default();
        let mut last_token = None;
        let mut order = Vec::new();
        for (number, micros) in times.iter().enumerate() {
            let request = u8::try_from(number).expect("few requests");
            let asked = asked(request, 0, 3, 0, true);
            // The jumps are shorter than the keep-alive: all stay, and only their order is looked at.
            let asked = asked.queueing(KeepAlive::parse(KeepAlive::MAX).expect("a valid span"));
            let base = 1_800_000_000_000_000 + micros % 3_600_000_000;
            let mut step = Step::new(Timestamp::from_micros(base), last_token, ChangeKinds::ALL);
            let _ = state.acquire(&mut step, &asked);
            last_token = step.last_token;
            order.push(asked.request);
        }
        let mut granted = Vec::new();
        let mut tokens = Vec::new();
        for micros in times {
            let base = 1_800_000_000_000_000 + micros % 3_600_000_000;
            let mut step = Step::new(Timestamp::from_micros(base), last_token, ChangeKinds::ALL);
            let Some(lease) = state.leases().next().cloned() else { break };
            granted.push(lease.request);
            tokens.push(lease.token);
            let _ = state.release(&mut step, lease.request);
            last_token = step.last_token;
        }
        prop_assert_eq!(granted, order);
        prop_assert!(tokens.is_sorted_by(|a, b| a < b), "{:?}", tokens);
    }
}

fn crowd_member(number: usize) -> AcquireRequest {
    let request = RequestId::from_bits(number as u128 + 100);
    AcquireRequest::new(request, key(), owner(0)).with_ttl(Ttl::Never).queueing(keep_alive())
}

/// A key with one holder, member 0, and so many dead waiters behind it.
fn crowd_of_dead(dead: usize) -> Bench {
    let mut bench = Bench::new();
    for number in 0..=dead {
        let mut step = Step::new(bench.now, bench.last_token, ChangeKinds::NONE);
        let _ = bench.state.acquire(&mut step, &crowd_member(number));
        bench.last_token = step.last_token;
    }
    bench.now = bench.now.after(keep_alive().span());
    bench
}

#[test]
fn dead_heads_are_swept_in_bounded_steps() {
    let dead = 10 * SWEEP;
    let mut bench = crowd_of_dead(dead);
    let mut commands = 0;
    loop {
        let mut step = Step::new(bench.now, bench.last_token, ChangeKinds::ALL);
        let released = bench.state.release(&mut step, crowd_member(0).request);
        assert!(step.effects.changes.len() <= SWEEP + 1, "a command did more than its share");
        assert_eq!(released == Release::Released, commands == 0);
        commands += 1;
        if bench.state.is_idle() {
            break;
        }
    }
    assert_eq!(commands, dead / SWEEP);
}

/// The dead that no command has dropped yet are neither shown nor given anything.
#[test]
fn the_dead_beyond_a_sweep_get_nothing() {
    let dead = 10 * SWEEP;
    let mut bench = crowd_of_dead(dead);
    let mut step = Step::new(bench.now, bench.last_token, ChangeKinds::ALL);
    let seen = bench.state.inspect(&mut step, &key());
    assert_eq!((seen.waiters.len(), seen.waiting), (0, (dead - SWEEP) as u64));
    let to = TransferTo::Waiter(crowd_member(dead).request);
    let given = TransferRequest::new(key(), crowd_member(0).request, to);
    assert_eq!(bench.state.transfer(&mut step, &given), Transfer::NotWaiting);
    assert_eq!(bench.state.release(&mut step, crowd_member(0).request), Release::Released);
    assert_eq!(step.effects.promoted, []);
}
