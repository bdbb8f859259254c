//! The circuit breaker: what opens and closes it, and what passes while it is open.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::error::Error as _;
use std::num::NonZeroU16;
use std::time::Duration;

use common::{faulty, manager, settle};
use lock_core::layer::{BreakerConfig, CircuitBreaker, CircuitOpen, CircuitState};
use lock_core::{
    AcquireRequest, Acquisition, Error, ErrorKind, HearRequest, LeaseName, LockBackend,
    LockInspector, LockKey, Operation, OwnerId, ReleaseRequest, RenewRequest, RequestId, Ttl,
    Violation,
};
use lock_memory::MemoryBackend;
use lock_testkit::{Fault, Faulty};
use tokio::time::{Instant, advance, sleep, timeout};

type Store = CircuitBreaker<Faulty<MemoryBackend>>;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A breaker that opens with the third failure within 10 s, for 1, 2 and then 3 s.
fn breaker() -> (Faulty<MemoryBackend>, Store) {
    let config = BreakerConfig::default().with_failures(NonZeroU16::new(3).unwrap());
    let config = config.with_pauses(secs(1), secs(3)).unwrap().with_silence(secs(1)).unwrap();
    let store = faulty();
    (store.clone(), CircuitBreaker::new(store, config))
}

fn ask(key: &str) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(key).unwrap(), OwnerId::parse("alice").unwrap());
    AcquireRequest::new(RequestId::random(), key, owner)
}

async fn fail(store: &Store) -> Error {
    store.acquire(&ask("key")).await.unwrap_err()
}

/// Opens the circuit by three failures, each of this kind.
async fn open(faulty: &Faulty<MemoryBackend>, store: &Store, fault: Fault) {
    faulty.inject(Operation::Acquire, fault);
    for _ in 0..3 {
        assert!(matches!(store.state(), CircuitState::Closed));
        fail(store).await;
    }
    assert!(matches!(store.state(), CircuitState::Open(_)), "{}", store.state());
}

fn passed(faulty: &Faulty<MemoryBackend>) -> u64 {
    faulty.commands(Operation::Acquire)
}

#[tokio::test(start_paused = true)]
async fn failures_open_it_and_say_since_when_and_why() {
    for fault in [Fault::Refused, Fault::AnswerLost] {
        let (faulty, store) = breaker();
        open(&faulty, &store, fault).await;
        let sent = passed(&faulty);
        advance(millis(400)).await;
        let error = fail(&store).await;
        assert_eq!(passed(&faulty), sent, "it was not sent");
        assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false));
        assert_eq!(error.key().unwrap().as_str(), "key");
        let open = error.source().unwrap().downcast_ref::<CircuitOpen>().unwrap();
        assert_eq!((open.open_for, open.next_probe_in), (millis(400), millis(600)));
        assert_eq!(open.cause.is_unknown(), fault == Fault::AnswerLost);
        let text = format!("{error:?}");
        assert!(text.contains("open for 400ms") && text.contains("store is unavailable"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_outside_the_window_do_not_count() {
    let (faulty, store) = breaker();
    faulty.inject(Operation::Acquire, Fault::Refused);
    for _ in 0..8 {
        fail(&store).await;
        advance(secs(5)).await;
        assert!(matches!(store.state(), CircuitState::Closed));
    }
    advance(secs(5)).await;
    open(&faulty, &store, Fault::Refused).await;
}

#[tokio::test(start_paused = true)]
async fn expected_outcomes_and_other_errors_do_not_count() {
    let (faulty, store) = breaker();
    let _ = store.acquire(&ask("key")).await.unwrap();
    for _ in 0..10 {
        assert!(matches!(store.acquire(&ask("key")).await.unwrap().value, Acquisition::Held(_)));
        let lease = LeaseName::new(ask("key").key, RequestId::random(), token());
        let _ = store.release(&ReleaseRequest::new(lease)).await.unwrap();
    }
    assert!(matches!(store.state(), CircuitState::Closed));
    assert_eq!(passed(&faulty), 11);
    // An invalid key of a layer below is an error of the caller.
    let below = lock_core::layer::Prefixed::new(faulty, "prefix/").unwrap();
    let config = BreakerConfig::default().with_failures(NonZeroU16::MIN);
    let store = CircuitBreaker::new(below, config);
    let long = ask(&"k".repeat(LockKey::MAX_BYTES));
    assert_eq!(store.acquire(&long).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(matches!(store.state(), CircuitState::Closed));
}

fn token() -> lock_core::FencingToken {
    lock_core::FencingToken::new(1).unwrap()
}

#[tokio::test(start_paused = true)]
async fn exactly_one_probe_passes_and_its_answer_closes_it() {
    let (faulty, store) = breaker();
    open(&faulty, &store, Fault::Refused).await;
    faulty.inject(Operation::Acquire, Fault::AnswerDelayed(millis(300)));
    advance(secs(1)).await;
    assert!(matches!(store.state(), CircuitState::HalfOpen(_)));
    let sent = passed(&faulty);
    let probe = tokio::spawn({
        let store = store.clone();
        async move { store.acquire(&ask("key")).await }
    });
    settle().await;
    for _ in 0..5 {
        let error = fail(&store).await;
        assert!(format!("{error:?}").contains("probe is not answered"), "{error:?}");
    }
    assert_eq!(passed(&faulty), sent + 1);
    let _ = probe.await.unwrap().unwrap();
    assert!(matches!(store.state(), CircuitState::Closed));
    faulty.heal();
    let _ = store.acquire(&ask("other")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn failed_probe_doubles_the_pause_up_to_its_bound() {
    let (faulty, store) = breaker();
    open(&faulty, &store, Fault::Refused).await;
    for pause in [secs(1), secs(2), secs(3), secs(3)] {
        advance(pause - millis(1)).await;
        let sent = passed(&faulty);
        fail(&store).await;
        assert_eq!(passed(&faulty), sent, "before {pause:?} are over");
        advance(millis(1)).await;
        fail(&store).await;
        assert_eq!(passed(&faulty), sent + 1, "after {pause:?}");
    }
    // Closed, it begins with the first pause again.
    advance(secs(3)).await;
    faulty.heal();
    let _ = store.acquire(&ask("key")).await.unwrap();
    open(&faulty, &store, Fault::Refused).await;
    let CircuitState::Open(open) = store.state() else { panic!("closed") };
    assert_eq!(open.next_probe_in, secs(1));
}

#[tokio::test(start_paused = true)]
async fn dropped_probe_gives_its_turn_to_the_next() {
    let (faulty, store) = breaker();
    open(&faulty, &store, Fault::Refused).await;
    faulty.inject(Operation::Acquire, Fault::Hangs);
    advance(secs(1)).await;
    assert!(timeout(millis(500), store.acquire(&ask("key"))).await.is_err(), "it hangs");
    assert!(matches!(store.state(), CircuitState::HalfOpen(_)));
    faulty.heal();
    let _ = store.acquire(&ask("key")).await.unwrap();
    assert!(matches!(store.state(), CircuitState::Closed));
}

#[tokio::test(start_paused = true)]
async fn probe_that_hangs_fails_after_the_silence() {
    let (faulty, store) = breaker();
    open(&faulty, &store, Fault::Refused).await;
    faulty.inject(Operation::Acquire, Fault::Hangs);
    advance(secs(1)).await;
    let hangs = tokio::spawn({
        let store = store.clone();
        async move { store.acquire(&ask("key")).await }
    });
    settle().await;
    faulty.heal();
    advance(secs(1)).await;
    let error = fail(&store).await;
    let open = error.source().unwrap().downcast_ref::<CircuitOpen>().unwrap();
    assert_eq!(open.next_probe_in, secs(2), "the pause is twice the first");
    advance(secs(2)).await;
    let _ = store.acquire(&ask("key")).await.unwrap();
    assert!(matches!(store.state(), CircuitState::Closed));
    hangs.abort();
}

#[tokio::test(start_paused = true)]
async fn late_answer_of_a_probe_closes_it() {
    let (faulty, store) = breaker();
    open(&faulty, &store, Fault::Refused).await;
    faulty.inject(Operation::Acquire, Fault::AnswerDelayed(millis(1500)));
    advance(secs(1)).await;
    let slow = tokio::spawn({
        let store = store.clone();
        async move { store.acquire(&ask("key")).await }
    });
    sleep(millis(1200)).await;
    fail(&store).await;
    assert!(matches!(store.state(), CircuitState::Open(_)), "it was silent for too long");
    let _ = slow.await.unwrap().unwrap();
    assert!(matches!(store.state(), CircuitState::Closed));
}

#[tokio::test(start_paused = true)]
async fn commands_given_up_after_the_silence_open_it() {
    let (faulty, store) = breaker();
    faulty.inject(Operation::Acquire, Fault::Hangs);
    for _ in 0..5 {
        assert!(timeout(millis(900), store.acquire(&ask("key"))).await.is_err());
    }
    assert!(matches!(store.state(), CircuitState::Closed), "impatience is no failure");
    for _ in 0..3 {
        assert!(timeout(millis(1000), store.acquire(&ask("key"))).await.is_err());
    }
    let CircuitState::Open(open) = store.state() else { panic!("closed") };
    assert!(open.cause.is_unknown());
    assert!(format!("{:?}", open.cause).contains("given up after 1s"), "{:?}", open.cause);
}

#[tokio::test(start_paused = true)]
async fn batch_counts_once_and_fails_only_as_a_whole() {
    let (faulty, store) = breaker();
    let hear = || HearRequest::new(ask("key").key, RequestId::random());
    faulty.inject(Operation::Hear, Fault::Refused);
    for _ in 0..2 {
        assert_eq!(store.hear(&[hear(), hear(), hear(), hear()]).await.len(), 4);
    }
    assert!(matches!(store.state(), CircuitState::Closed));
    assert!(store.hear(&[]).await.is_empty());
    assert!(matches!(store.state(), CircuitState::Closed));
    let _ = store.hear(&[hear()]).await;
    assert!(matches!(store.state(), CircuitState::Open(_)));
    assert_eq!(store.hear(&[hear(), hear()]).await.len(), 2);
    assert_eq!(faulty.commands(Operation::Hear), 5, "hears pass while it is open");
}

#[tokio::test(start_paused = true)]
async fn answers_from_before_it_opened_do_not_close_it() {
    let (faulty, store) = breaker();
    faulty.inject(Operation::Acquire, Fault::AnswerDelayed(millis(100)));
    let early = tokio::spawn({
        let store = store.clone();
        async move { store.acquire(&ask("early")).await }
    });
    settle().await;
    open(&faulty, &store, Fault::Refused).await;
    let _ = early.await.unwrap().unwrap();
    assert!(matches!(store.state(), CircuitState::Open(_)));
}

#[tokio::test(start_paused = true)]
async fn renewals_pass_and_their_answer_ends_the_pause() {
    let (faulty, store) = breaker();
    let Acquisition::Granted(lease) = store.acquire(&ask("held")).await.unwrap().value else {
        panic!("held")
    };
    open(&faulty, &store, Fault::Refused).await;
    faulty.heal();
    let sent = passed(&faulty);
    fail(&store).await;
    assert_eq!(passed(&faulty), sent);
    let renewals = [RenewRequest::new(lease.name(), Ttl::default())];
    assert!(store.renew(&renewals).await.pop().unwrap().is_ok());
    assert!(matches!(store.state(), CircuitState::HalfOpen(_)));
    let _ = store.acquire(&ask("key")).await.unwrap();
    assert!(matches!(store.state(), CircuitState::Closed));
}

#[tokio::test(start_paused = true)]
async fn held_lease_outlives_an_open_circuit_and_is_released_behind_it() {
    let (faulty, store) = breaker();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("held").ttl(secs(3)).await.unwrap();
    open(&faulty, &store, Fault::Refused).await;
    let opened = Instant::now();
    // Renewals are answered meanwhile, so the probes follow them; each fails.
    while opened.elapsed() < secs(30) {
        fail(&store).await;
        sleep(millis(100)).await;
    }
    assert!(!guard.is_lost());
    assert!(!matches!(store.state(), CircuitState::Closed));
    let released = faulty.commands(Operation::Release);
    for operation in [Operation::Release, Operation::Renew] {
        faulty.inject(operation, Fault::Refused);
    }
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(faulty.commands(Operation::Release) <= released + 1);
    faulty.heal();
    sleep(secs(5)).await;
    assert!(matches!(store.state(), CircuitState::Closed), "the releaser sent the probe");
    assert_eq!(alice.inspect("held").await.unwrap().value.holders, 0);
}

#[tokio::test(start_paused = true)]
async fn health_names_the_state_while_the_circuit_is_not_closed() {
    let (faulty, store) = breaker();
    assert!(store.health().await.unwrap().warnings.is_empty());
    open(&faulty, &store, Fault::Refused).await;
    let health = store.health().await.unwrap();
    assert!(health.warnings[0].starts_with("circuit open after 0ns: acquire"), "{health}");
    advance(secs(1)).await;
    let health = store.health().await.unwrap();
    assert!(health.warnings[0].starts_with("circuit half-open after 1s"), "{health}");
    assert!(matches!(store.state(), CircuitState::HalfOpen(_)), "health is no probe");
    faulty.heal();
    let _ = store.acquire(&ask("key")).await.unwrap();
    assert!(store.health().await.unwrap().warnings.is_empty());
}

#[test]
fn settings_outside_their_limits_are_named() {
    let config = BreakerConfig::default;
    let refused = [
        config().with_window(Duration::ZERO).unwrap_err(),
        config().with_pauses(Duration::ZERO, secs(1)).unwrap_err(),
        config().with_pauses(secs(2), secs(1)).unwrap_err(),
        config().with_silence(Duration::MAX).unwrap_err(),
    ];
    let fields = refused.each_ref().map(|input| input.field());
    assert_eq!(fields, ["window", "first_pause", "longest_pause", "silence"]);
    assert_eq!(*refused[2].violation(), Violation::TooShort { limit: secs(2) });
}
