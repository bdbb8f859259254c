//! Deadlocks between sessions.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{manager, waiting};
use lock_core::{
    Deadlock, DeadlockPolicy, Error, ErrorKind, LockGuard, LockManager, ManagerConfig, Operation,
    OwnerId, Priority, Result, Session, VictimChoice,
};
use lock_memory::MemoryBackend;
use lock_testkit::Fault;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

type Waiting = JoinHandle<Result<LockGuard>>;

fn with_policy(policy: DeadlockPolicy, store: &MemoryBackend, owner: &str) -> LockManager {
    let config = ManagerConfig::default().with_deadlock_policy(policy);
    LockManager::with_config(store.clone(), OwnerId::parse(owner).unwrap(), config)
}

/// Waits for a key, and returns when the request is in the queue.
async fn wait(manager: &LockManager, session: &Session, key: &str, number: u64) -> Waiting {
    let acquiring = tokio::spawn(session.acquire(key).into_future());
    waiting(manager, key, number).await;
    acquiring
}

fn deadlock(ended: Result<LockGuard>) -> Deadlock {
    let error = ended.expect_err("a deadlock");
    assert_eq!(error.kind(), ErrorKind::Deadlock, "{error:?}");
    assert!(!error.is_unknown() && !error.is_retryable());
    error.deadlock().expect("its members").clone()
}

/// A ring of sessions, each of which holds a key and waits for the next one's.
async fn ring(managers: &[LockManager]) -> (Vec<Session>, Vec<LockGuard>, Vec<Waiting>) {
    let sessions: Vec<_> = managers.iter().map(LockManager::session).collect();
    let (mut guards, mut waits) = (Vec::new(), Vec::new());
    for (number, session) in sessions.iter().enumerate() {
        guards.push(session.acquire(format!("key-{number}")).await.unwrap());
    }
    for (number, session) in sessions.iter().enumerate() {
        let key = format!("key-{}", (number + 1) % sessions.len());
        waits.push(wait(&managers[0], session, &key, 1).await);
        // Each joins at a time of its own.
        sleep(Duration::from_millis(1)).await;
    }
    (sessions, guards, waits)
}

#[tokio::test(start_paused = true)]
async fn youngest_of_two_gives_way_and_learns_why() {
    let store = MemoryBackend::new();
    let managers = [manager(&store, "alice"), manager(&store, "bob")];
    let (_sessions, mut guards, mut waits) = ring(&managers).await;
    let started = Instant::now();
    let error = waits.pop().unwrap().await.unwrap().expect_err("a deadlock");
    assert!(started.elapsed() < Duration::from_secs(1));
    let words = error.deadlock().unwrap().to_string();
    let either = [
        "`alice` waits for `key-1`, held by `bob`; `bob` waits for `key-0`, held by `alice`",
        "`bob` waits for `key-0`, held by `alice`; `alice` waits for `key-1`, held by `bob`",
    ];
    assert!(either.contains(&words.as_str()), "{words}");
    assert!(format!("{error:?}").contains(&words), "{error:?}");
    // Its place is gone, and the other one goes on when it releases what it holds.
    waiting(&managers[0], "key-0", 0).await;
    guards.pop().unwrap().release().await.unwrap();
    drop(waits.pop().unwrap().await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn session_that_waits_for_itself_is_told_at_once() {
    let store = MemoryBackend::new();
    let session = manager(&store, "alice").session();
    let _held = session.acquire("key").await.unwrap();
    let started = Instant::now();
    assert_eq!(deadlock(session.acquire("key").await).members.len(), 1);
    assert_eq!(started.elapsed(), Duration::ZERO);
    // Another session of the same owner only waits.
    let other = manager(&store, "alice").session();
    let waited = other.acquire("key").wait(Duration::from_secs(100)).await;
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::WaitOver);
}

/// What a session has dropped is not in its way, however long the release takes.
#[tokio::test(start_paused = true)]
async fn session_can_take_again_what_it_dropped() {
    let store = common::faulty();
    store.inject(Operation::Release, Fault::Delayed(Duration::from_secs(2)));
    let session = manager(&store, "alice").session();
    for _ in 0..3 {
        drop(session.acquire("key").await.unwrap());
    }
}

/// Detection costs nothing for a session that holds nothing, and one look where the holder does not
/// wait.
#[tokio::test(start_paused = true)]
async fn holder_that_does_not_wait_costs_one_look() {
    let store = common::faulty();
    let looks =
        || [Operation::Inspect, Operation::WaitsOf].map(|operation| store.commands(operation));
    let [alice, bob] = ["alice", "bob"].map(|owner| manager(&store, owner));
    let short = ManagerConfig::default().keep_alive.span() / 10;
    let held = alice.session().acquire("key").await.unwrap();
    let waited = bob.acquire("key").wait(short).await;
    assert_eq!((waited.unwrap_err().kind(), looks()), (ErrorKind::WaitOver, [0, 0]));
    let session = bob.session();
    let waited = session.acquire("key").wait(short).await;
    assert_eq!((waited.unwrap_err().kind(), looks()), (ErrorKind::WaitOver, [0, 0]));
    let other = session.acquire("other").await.unwrap();
    let waited = session.acquire("key").wait(short).await;
    assert_eq!((waited.unwrap_err().kind(), looks()), (ErrorKind::WaitOver, [0, 1]));
    // Another process may hold something for this session.
    let shared = bob.session_of(session.id());
    drop(other);
    let waited = shared.acquire("key").wait(short).await;
    assert_eq!((waited.unwrap_err().kind(), looks()), (ErrorKind::WaitOver, [0, 2]));
    drop(held);
    drop(shared.acquire("key").await.unwrap());
    assert_eq!(looks(), [0, 2]);
}

#[tokio::test(start_paused = true)]
async fn rings_of_any_size_are_resolved() {
    for size in [2, 3, 5, 20, 50] {
        let store = MemoryBackend::new();
        let managers: Vec<_> =
            (0..size).map(|number| manager(&store, &format!("owner-{number}"))).collect();
        let (_sessions, mut guards, mut waits) = ring(&managers).await;
        let started = Instant::now();
        // The last one joined closes the ring.
        assert_eq!(deadlock(waits.pop().unwrap().await.unwrap()).members.len(), size);
        assert!(started.elapsed() < Duration::from_secs(1));
        while let Some(waiting) = waits.pop() {
            guards.pop().unwrap().release().await.unwrap();
            let guard = waiting.await.unwrap().unwrap();
            guard.release().await.unwrap();
        }
    }
}

/// Of two rings with a common session, each loses a member of its own or both lose the common one.
#[tokio::test(start_paused = true)]
async fn rings_with_a_common_session_are_resolved() {
    let store = MemoryBackend::new();
    let owner = manager(&store, "owner");
    let [common, left, right] = [owner.session(), owner.session(), owner.session()];
    let reader = |session: &Session| session.acquire("shared").shared().into_future();
    let held = common.acquire("common").await.unwrap();
    let shares = [reader(&left).await.unwrap(), reader(&right).await.unwrap()];
    let common_waits = wait(&owner, &common, "shared", 1).await;
    sleep(Duration::from_millis(1)).await;
    let left_waits = wait(&owner, &left, "common", 1).await;
    sleep(Duration::from_millis(1)).await;
    let right_waits = wait(&owner, &right, "common", 2).await;
    assert_eq!(deadlock(right_waits.await.unwrap()).members.len(), 3);
    let [left_share, right_share] = shares;
    drop(right_share);
    assert_eq!(deadlock(left_waits.await.unwrap()).members.len(), 2);
    drop(left_share);
    drop(common_waits.await.unwrap().unwrap());
    drop(held);
}

/// A ring through permits is a deadlock only when no permit can come free.
#[tokio::test(start_paused = true)]
async fn free_permit_is_a_way_out() {
    let store = MemoryBackend::new();
    let owner = manager(&store, "owner");
    let [one, other, third] = [owner.session(), owner.session(), owner.session()];
    let permit = |session: &Session| session.acquire("permits").permits(2).into_future();
    let (first, second) = (permit(&one).await.unwrap(), permit(&other).await.unwrap());
    let held = third.acquire("key").await.unwrap();
    let waits_for_permit = tokio::spawn(permit(&third));
    waiting(&owner, "permits", 1).await;
    let one_waits = wait(&owner, &one, "key", 1).await;
    // The other one can still release its permit.
    sleep(Duration::from_secs(60)).await;
    assert!(!one_waits.is_finished() && !waits_for_permit.is_finished());
    let other_waits = wait(&owner, &other, "key", 2).await;
    assert_eq!(deadlock(other_waits.await.unwrap()).members.len(), 3);
    drop(second);
    let permit = waits_for_permit.await.unwrap().unwrap();
    drop((permit, held));
    drop(one_waits.await.unwrap().unwrap());
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn readers_behind_a_writer_are_in_its_ring() {
    let store = MemoryBackend::new();
    let owner = manager(&store, "owner");
    let [reader, writer, late] = [owner.session(), owner.session(), owner.session()];
    let share = reader.acquire("a").shared().await.unwrap();
    let held = late.acquire("b").await.unwrap();
    let writing = wait(&owner, &writer, "a", 1).await;
    sleep(Duration::from_millis(1)).await;
    // It could share the key with the reader, but the writer is ahead.
    let reading = tokio::spawn(late.acquire("a").shared().into_future());
    waiting(&owner, "a", 2).await;
    sleep(Duration::from_millis(1)).await;
    let closing = wait(&owner, &reader, "b", 1).await;
    let members = deadlock(closing.await.unwrap());
    assert_eq!(members.members.len(), 3, "{members}");
    assert!(members.to_string().contains("behind"), "{members}");
    drop(share);
    writing.await.unwrap().unwrap().release().await.unwrap();
    drop(reading.await.unwrap().unwrap());
    drop(held);
}

/// Returns the numbers of the members of a ring that ended in a deadlock.
async fn victims(policy: DeadlockPolicy, priorities: [Priority; 3]) -> Vec<usize> {
    let store = MemoryBackend::new();
    let managers = [(); 3].map(|()| with_policy(policy, &store, "owner"));
    let sessions: Vec<_> = managers.iter().map(LockManager::session).collect();
    let (mut guards, mut waits) = (Vec::new(), Vec::new());
    for (number, session) in sessions.iter().enumerate() {
        guards.push(session.acquire(format!("key-{number}")).await.unwrap());
    }
    for (number, session) in sessions.iter().enumerate() {
        let key = format!("key-{}", (number + 1) % 3);
        let acquire = session.acquire(key.as_str()).priority(priorities[number]);
        waits.push(tokio::spawn(acquire.into_future()));
        waiting(&managers[0], &key, 1).await;
        sleep(Duration::from_millis(1)).await;
    }
    // Within one keep-alive.
    sleep(ManagerConfig::default().keep_alive.span()).await;
    let mut victims = Vec::new();
    for (number, waiting) in waits.into_iter().enumerate() {
        if waiting.is_finished() {
            deadlock(waiting.await.unwrap());
            victims.push(number);
        }
    }
    victims
}

#[tokio::test(start_paused = true)]
async fn victim_is_chosen_by_the_policy() {
    use DeadlockPolicy::{Custom, LowestPriority, Oldest, Prevent, Youngest};
    use Priority::{High, Low, Normal};
    let highest = VictimChoice::new(|members| {
        let starts = members.iter().map(|member| member.waiter.head_start);
        starts.enumerate().max_by_key(|(_, start)| *start).map_or(0, |(index, _)| index)
    });
    for (policy, priorities, expected) in [
        (LowestPriority, [Normal, Low, High], 1),
        (LowestPriority, [Normal; 3], 2),
        (Youngest, [Low, Low, High], 2),
        (Oldest, [High, Low, Low], 0),
        (Prevent, [Low, Low, High], 2),
        (Custom(highest), [Normal, High, Low], 1),
    ] {
        assert_eq!(victims(policy, priorities).await, [expected], "{policy:?} {priorities:?}");
    }
}

/// The victim finds the deadlock by itself when the process that closed it is gone.
#[tokio::test(start_paused = true)]
async fn deadlock_is_resolved_without_the_process_that_closed_it() {
    let store = MemoryBackend::new();
    let managers = [(); 2].map(|()| with_policy(DeadlockPolicy::Oldest, &store, "owner"));
    let sessions = [managers[0].session(), managers[1].session()];
    let _held = [sessions[0].acquire("a").await.unwrap(), sessions[1].acquire("b").await.unwrap()];
    let first = wait(&managers[0], &sessions[0], "b", 1).await;
    sleep(Duration::from_millis(1)).await;
    // It stays in the queue, and looks no more.
    let mut closing = Box::pin(sessions[1].acquire("a").into_future());
    while tokio::select! {
        biased;
        _ = &mut closing => panic!("it is not the victim"),
        () = waiting(&managers[0], "a", 1) => false,
    } {}
    let keep_alive = managers[0].config().keep_alive.span();
    assert_eq!(deadlock(timeout(keep_alive, first).await.unwrap().unwrap()).members.len(), 2);
}

/// One look is no proof: what it saw may be over by the next.
#[tokio::test(start_paused = true)]
async fn deadlock_that_ends_by_itself_has_no_victim() {
    let store = MemoryBackend::new();
    let [alice, bob] = ["alice", "bob"].map(|owner| manager(&store, owner));
    let [first, second] = [alice.session(), bob.session()];
    let (a, b) = (first.acquire("a").await.unwrap(), second.acquire("b").await.unwrap());
    let short = Duration::from_millis(50);
    let gives_up = tokio::spawn(second.acquire("a").wait(short).into_future());
    waiting(&alice, "a", 1).await;
    sleep(Duration::from_millis(1)).await;
    let waits = tokio::spawn(first.acquire("b").into_future());
    assert_eq!(gives_up.await.unwrap().unwrap_err().kind(), ErrorKind::WaitOver);
    drop(b);
    drop((a, waits.await.unwrap().unwrap()));
}

/// Programs that take keys in order, drop, cancel and repeat them are never taken for a deadlock,
/// also where their releases and cancels are slow. `LOCK_DEADLOCK_SEEDS` sets the number of runs.
#[tokio::test(start_paused = true)]
async fn ordered_programs_are_never_victims() {
    let seeds = std::env::var("LOCK_DEADLOCK_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 0..seeds.unwrap_or(60) {
        let store = common::faulty();
        let delay = Duration::from_millis(seed % 4 * 20);
        for operation in [Operation::Release, Operation::Cancel, Operation::Acquire] {
            store.inject(operation, Fault::Delayed(delay));
        }
        let done = Arc::new(AtomicUsize::new(0));
        let programs: Vec<_> = (0..5)
            .map(|number| {
                let owner = manager(&store, &format!("owner-{number}"));
                let random = StdRng::seed_from_u64(seed * 100 + number);
                tokio::spawn(program(owner, random, Arc::clone(&done)))
            })
            .collect();
        for program in programs {
            program.await.unwrap().unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        }
        assert_eq!(done.load(Ordering::SeqCst), 5, "seed {seed}");
    }
}

async fn program(
    manager: LockManager,
    mut random: StdRng,
    done: Arc<AtomicUsize>,
) -> Result<(), Error> {
    let session = manager.session();
    for _ in 0..10 {
        let mut held = HashMap::new();
        for key in 0..4 {
            if random.random_bool(0.4) {
                continue;
            }
            let acquire = session.acquire(format!("key-{key}"));
            // Keys of even numbers are shared, by readers or permits.
            let acquire = match (key % 2, random.random_range(0..3)) {
                (0, 0) => acquire.shared(),
                (0, 1) => acquire.permits(2),
                _ => acquire,
            };
            let acquired = match random.random_bool(0.2) {
                true => acquire.wait(Duration::from_millis(random.random_range(1..50))).await,
                false => acquire.await,
            };
            match acquired {
                Ok(guard) => drop(held.insert(key, guard)),
                Err(error) if error.kind() == ErrorKind::WaitOver => {}
                Err(error) => return Err(error),
            }
            sleep(Duration::from_millis(random.random_range(0..40))).await;
            if random.random_bool(0.2) {
                held.clear();
            }
        }
    }
    done.fetch_add(1, Ordering::SeqCst);
    Ok(())
}
