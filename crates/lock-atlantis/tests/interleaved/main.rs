//! Calls of a fallback in the midst of others, after each of their steps: the model of its rules, run
//! on the code itself.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed test panics, and says how"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lock_atlantis::fallback::{Fallback, FallbackConfig, FallbackStore, OnLoss, ServingMode};
use lock_atlantis::migrate::Source;
use lock_compat::conformance::{lock, pull};
use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::{
    CommandName, Outcome, ProjectLock, ProjectPlanStatus, ProjectResult, Timestamp,
};
use lock_compat::{LegacyBackend, LegacyError, LockAdapter, Result};
use lock_core::{LockManager, OwnerId};
use lock_memory::MemoryBackend;
use tokio::time::{Instant, sleep};

mod beliefs;
mod cells;
mod explore;
#[path = "../staged/mod.rs"]
mod staged;

use beliefs::Act;
use explore::{Plan, Start, explore};
use staged::{Stage, Staged};

/// Runs once, after the step of this number.
type Then = Arc<Mutex<Option<(usize, Pin<Box<dyn Future<Output = ()> + Send>>)>>>;

/// The store of one process, with a hook after each step and a switch that cuts it off.
struct Step {
    then: Then,
    is_cut: Arc<AtomicBool>,
}

#[async_trait]
impl Stage for Step {
    async fn before(&self, _call: usize) -> Result<()> {
        match self.is_cut.load(Ordering::SeqCst) {
            true => Err(LegacyError::store(false, "no connection")),
            false => Ok(()),
        }
    }

    async fn after(&self, call: usize) -> Result<()> {
        let due = self.then.lock().unwrap().take_if(|(at, _)| *at == call);
        if let Some((_, work)) = due {
            work.await;
        }
        Ok(())
    }
}

type Store = Arc<Staged<Step>>;

fn memory() -> Arc<LockAdapter> {
    let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("atlantis").unwrap());
    Arc::new(LockAdapter::new(manager, MemoryDocuments::new()))
}

/// A process, its two stores, and the switch that cuts it from the primary.
struct Process {
    fallback: Fallback,
    stores: [Store; 2],
    thens: [Then; 2],
    is_cut: Arc<AtomicBool>,
}

impl Process {
    /// A process that serves from the mirror after the first failure.
    async fn start(stores: &[Arc<LockAdapter>; 2]) -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        let config = FallbackConfig::new().with_on_loss(OnLoss::ServeMirror);
        let config = config.with_failures(1, day).with_healthy_for(day);
        Self::configured(stores, config.with_notes_kept(Duration::ZERO)).await
    }

    async fn configured(stores: &[Arc<LockAdapter>; 2], config: FallbackConfig) -> Self {
        let is_cut = Arc::new(AtomicBool::new(false));
        let thens = [Then::default(), Then::default()];
        let [primary, mirror] = stores.clone().map(|store| store as Arc<dyn FallbackStore>);
        let step = Step { then: Arc::clone(&thens[0]), is_cut: Arc::clone(&is_cut) };
        let primary = Arc::new(Staged::new(primary, step));
        let step = Step { then: Arc::clone(&thens[1]), is_cut: Arc::default() };
        let mirror = Arc::new(Staged::new(mirror, step));
        let fallback = Fallback::open(Arc::clone(&primary) as _, Arc::clone(&mirror) as _, config);
        Self { fallback: fallback.await.unwrap(), stores: [primary, mirror], thens, is_cut }
    }

    /// Runs this after the given step, counted from now on, of one of its stores.
    fn after(
        &self,
        (store, step): (usize, usize),
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let at = self.stores[store].calls() + step;
        *self.thens[store].lock().unwrap() = Some((at, Box::pin(work)));
    }

    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }
}

fn of(num: i64) -> ProjectLock {
    let mut lock = lock("owner/repo", "path", "default", num);
    lock.time = Timestamp::from_unix(num).unwrap();
    lock
}

/// No two locks of a pull request have the same time.
fn later(num: i64, caller: usize) -> ProjectLock {
    let mut lock = of(num);
    lock.time = Timestamp::from_unix(100 + caller as i64).unwrap();
    lock
}

/// A call of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// Pull request 1 unlocks and locks again.
    Again,
    /// Locks for pull request 5.
    Lock5,
    Unlock5,
    /// Unlocks for pull request 1, and then locks for pull request 5.
    Unlock1Lock5,
    Unlock1,
    Update,
    Discard,
    Forget,
    Command,
    Reconcile,
}

const CALLS: [Call; 10] = [
    Call::Again,
    Call::Lock5,
    Call::Unlock5,
    Call::Unlock1Lock5,
    Call::Unlock1,
    Call::Update,
    Call::Discard,
    Call::Forget,
    Call::Command,
    Call::Reconcile,
];

/// The answers that everybody received.
#[derive(Default)]
struct Told {
    /// The pull requests that hold the project.
    holders: BTreeSet<i64>,
    /// The folders with an acknowledged status, and `true` if all statuses were deleted.
    folders: BTreeMap<String, ProjectPlanStatus>,
    is_forgotten: bool,
    holds_command: bool,
    /// Number of unlocks of each pull request: one in the midst of an attempt may end its lock.
    unlocks: BTreeMap<i64, usize>,
}

impl Told {
    fn begin(&mut self, num: i64) {
        self.holders.insert(num);
        assert!(self.holders.len() == 1, "two hold: {:?}", self.holders);
    }
}

async fn unlock(store: &Fallback, told: &Mutex<Told>, num: i64) {
    // After the unlock it no longer holds.
    {
        let mut told = told.lock().unwrap();
        told.holders.remove(&num);
        *told.unlocks.entry(num).or_default() += 1;
    }
    store.unlock_if_owned_by_pull(&of(num).project, "default", num).await.unwrap();
}

async fn take(store: &Fallback, told: &Mutex<Told>, lock: ProjectLock) {
    let num = lock.pull.num;
    let unlocks = || told.lock().unwrap().unlocks.get(&num).copied();
    let before = unlocks();
    let (is_new, holder) = store.try_lock(lock.clone()).await.unwrap();
    assert!(is_new || holder != lock, "refused for its own lock");
    if is_new && unlocks() == before {
        told.lock().unwrap().begin(num);
    }
}

/// Runs a call of one of the two to its end.
async fn perform(call: Call, store: &Fallback, told: &Mutex<Told>, caller: usize) {
    let name = format!("folder-{caller}");
    let pull_request = pull("owner/repo", 1);
    match call {
        Call::Again => {
            unlock(store, told, 1).await;
            take(store, told, later(1, caller)).await;
        }
        Call::Lock5 => take(store, told, later(5, caller)).await,
        Call::Unlock5 => unlock(store, told, 5).await,
        Call::Unlock1Lock5 => {
            unlock(store, told, 1).await;
            take(store, told, later(5, caller)).await;
        }
        Call::Unlock1 => unlock(store, told, 1).await,
        Call::Update => {
            let plan = ProjectResult::new("default", &name, CommandName::Plan, Outcome::Success);
            store.update_pull_with_results(&pull_request, &[plan]).await.unwrap();
            told.lock().unwrap().folders.insert(name, ProjectPlanStatus::Planned);
        }
        Call::Discard => {
            let status = ProjectPlanStatus::PlanDiscarded;
            store.update_project_status(&pull_request, "default", "first", status).await.unwrap();
            told.lock().unwrap().folders.insert("first".to_owned(), status);
        }
        Call::Forget => {
            store.delete_pull_status(&pull_request).await.unwrap();
            told.lock().unwrap().is_forgotten = true;
        }
        Call::Command => {
            let time = Timestamp::from_unix(10 + caller as i64).unwrap();
            match store.lock_command(CommandName::Apply, time).await {
                Ok(_) => {
                    let was_held = std::mem::replace(&mut told.lock().unwrap().holds_command, true);
                    assert!(!was_held, "two hold the command");
                    told.lock().unwrap().holds_command = false;
                    store.unlock_command(CommandName::Apply).await.unwrap();
                }
                Err(error) => assert!(matches!(error, LegacyError::CommandLocked), "{error:?}"),
            }
        }
        Call::Reconcile => {
            // One that cannot reach the primary fails.
            let _ = store.reconcile().await;
        }
    }
}

/// One call in the midst of another; `false` if that has fewer steps.
async fn one_in_another(outer: Call, inner: Call, cut: [bool; 2], step: (usize, usize)) -> bool {
    let stores = [memory(), memory()];
    let [one, other] = [Process::start(&stores).await, Process::start(&stores).await];
    let told = Arc::new(Mutex::new(Told::default()));
    take(&one.fallback, &told, of(1)).await;
    let plan = ProjectResult::new("default", "first", CommandName::Plan, Outcome::Success);
    one.fallback.update_pull_with_results(&of(1).pull, &[plan]).await.unwrap();
    for (process, _) in [&one, &other].into_iter().zip(cut).filter(|(_, is_cut)| *is_cut) {
        process.cut();
        // It learns that the primary is lost.
        process.fallback.ping().await.unwrap();
        assert_eq!(process.fallback.mode(), ServingMode::MirrorAlone);
    }
    let work = {
        let (fallback, told) = (other.fallback.clone(), Arc::clone(&told));
        async move { perform(inner, &fallback, &told, 1).await }
    };
    one.after(step, work);
    perform(outer, &one.fallback, &told, 0).await;
    if one.thens[step.0].lock().unwrap().take().is_some() {
        return false;
    }

    for process in [&one, &other] {
        process.is_cut.store(false, Ordering::SeqCst);
    }
    for process in [&one, &other, &one] {
        let report = process.fallback.reconcile().await.unwrap();
        assert!(report.is_clean(), "{report}");
    }
    let told = std::mem::take(&mut *told.lock().unwrap());
    let mut records = Vec::new();
    for store in &stores {
        let held: Vec<_> = store.list().await.unwrap().locks.iter().map(|it| it.pull.num).collect();
        let expected: Vec<_> = told.holders.iter().copied().collect();
        assert_eq!(held, expected, "who holds is in both stores, and nobody else");
        if !told.is_forgotten {
            let status = store.get_pull_status(&of(1).pull).await.unwrap().unwrap();
            for (folder, status_of) in &told.folders {
                let projects = status.projects.iter().flatten();
                let found = projects.clone().find(|it| it.repo_rel_dir == *folder);
                assert_eq!(found.map(|it| it.status), Some(*status_of), "{folder}");
            }
        }
        assert!(store.check_command_lock(CommandName::Apply).await.unwrap().is_none());
        let found = store.records().await.unwrap().records.into_iter();
        records
            .push(found.map(|it| (it.key().to_owned(), it.encode())).collect::<BTreeMap<_, _>>());
        let left = store.document_names("").await.unwrap();
        assert!(left.iter().all(|name| !name.starts_with("lock-fallback/lock")), "{left:?}");
    }
    assert_eq!(records[0], records[1]);
    true
}

/// The process that cannot reach the primary.
const CUTS: [[bool; 2]; 4] = [[false, false], [true, false], [false, true], [true, true]];

async fn every_interleaving(
    pairs: impl IntoIterator<Item = (Call, Call)>,
    cuts: &[[bool; 2]],
) -> usize {
    let mut runs = 0;
    for (outer, inner) in pairs {
        for cut in cuts.iter().copied() {
            for store in [0, 1] {
                for number in 0.. {
                    let run = one_in_another(outer, inner, cut, (store, number));
                    let context =
                        format!("{inner:?} in {outer:?}, cut {cut:?}, step {store} {number}");
                    let run = tokio::spawn(tokio::task::unconstrained(run));
                    let is_there = run.await.unwrap_or_else(|error| panic!("{context}: {error}"));
                    if !is_there {
                        break;
                    }
                    runs += 1;
                }
            }
        }
    }
    runs
}

#[tokio::test]
async fn lock_that_comes_while_two_unlock_stays() {
    let runs = every_interleaving([(Call::Unlock1, Call::Unlock1Lock5)], &CUTS).await;
    assert!(runs >= 8, "{runs}");
}

#[tokio::test]
async fn status_that_changes_while_stores_are_compared_stays() {
    let pairs = [(Call::Reconcile, Call::Update), (Call::Reconcile, Call::Discard)];
    let runs = every_interleaving(pairs, &CUTS).await;
    assert!(runs >= 8, "{runs}");
}

/// A reconciliation reads a lock in the mirror, which is then unlocked; another one finds it in neither
/// store; the first writes it to the primary, which it loses before it can look again.
#[tokio::test]
async fn lock_that_ends_while_it_is_copied_does_not_come_back() {
    let mut runs = 0;
    for read in 0..12 {
        for write in 0..8 {
            let stores = [memory(), memory()];
            let day = Duration::from_secs(24 * 60 * 60);
            let config = FallbackConfig::new().with_on_loss(OnLoss::ServeMirror);
            let config = config.with_failures(1, day).with_healthy_for(day);
            let start = async || Process::configured(&stores, config).await;
            let [one, copies, other] = [start().await, start().await, start().await];
            one.cut();
            one.fallback.ping().await.unwrap();
            assert!(one.fallback.try_lock(of(1)).await.unwrap().0);
            let unlocks = one.fallback.clone();
            let settles = other.fallback.clone();
            copies.after((1, read), async move {
                unlocks.unlock(&of(1).project, "default").await.unwrap();
                settles.reconcile().await.unwrap();
            });
            let is_cut = Arc::clone(&copies.is_cut);
            copies.after((0, write), async move { is_cut.store(true, Ordering::SeqCst) });
            let is_lost = copies.fallback.reconcile().await.is_err();
            if copies.thens[1].lock().unwrap().take().is_some() {
                continue;
            }
            runs += usize::from(is_lost);
            other.fallback.reconcile().await.unwrap();
            let found = other.fallback.list().await.unwrap().locks;
            assert!(found.is_empty(), "read {read}, write {write}: {found:?}");
        }
    }
    assert!(runs > 0, "nothing was lost");
}

/// A status that only the primary has, written by somebody who does not know the mirror, is shown while
/// it changes.
#[tokio::test]
async fn status_of_the_primary_alone_is_shown_while_it_changes() {
    for number in 0..3 {
        let stores = [memory(), memory()];
        let one = Process::start(&stores).await;
        let (primary, of_pull) = (Arc::clone(&stores[0]), pull("owner/repo", 1));
        primary.update_pull_with_results(&of_pull, &[beliefs::planned("one")]).await.unwrap();
        one.after((0, number), async move {
            let other = [beliefs::planned("other")];
            primary.update_pull_with_results(&pull("owner/repo", 1), &other).await.unwrap();
        });
        let status = one.fallback.get_pull_status(&of_pull).await.unwrap();
        assert!(status.is_some(), "step {number}");
    }
}

#[tokio::test]
async fn free_project_is_locked_while_stores_are_compared() {
    for step in [(0, 0), (1, 0)] {
        let stores = [memory(), memory()];
        let [one, other] = [Process::start(&stores).await, Process::start(&stores).await];
        let fallback = other.fallback.clone();
        let work = async move { assert!(fallback.reconcile().await.unwrap().is_clean()) };
        one.after(step, work);
        let time = Timestamp::from_unix(7).unwrap();
        assert_eq!(one.fallback.try_lock(of(1)).await.unwrap(), (true, of(1)), "{step:?}");
        let fallback = other.fallback.clone();
        let work = async move { assert!(fallback.reconcile().await.unwrap().is_clean()) };
        one.after(step, work);
        one.fallback.lock_command(CommandName::Apply, time).await.unwrap();
    }
}

/// A process that leaves the mirror alone does so between its calls.
#[tokio::test]
async fn lock_during_a_reconciliation_of_its_process_is_in_both_stores() {
    for store in [0, 1] {
        for number in 0.. {
            let stores = [memory(), memory()];
            let one = Process::start(&stores).await;
            one.cut();
            one.fallback.ping().await.unwrap();
            one.is_cut.store(false, Ordering::SeqCst);
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let fallback = one.fallback.clone();
            one.after((store, number), async move {
                let call = tokio::spawn(async move { fallback.try_lock(of(5)).await.unwrap() });
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                sender.send(call).unwrap();
            });
            assert!(one.fallback.reconcile().await.unwrap().is_clean());
            if one.thens[store].lock().unwrap().take().is_some() {
                assert!(number > 0, "{store}");
                break;
            }
            assert!(receiver.await.unwrap().await.unwrap().0);
            for store in &stores {
                assert_eq!(store.list().await.unwrap().locks, [of(5)], "{number}");
            }
        }
    }
}

/// Every call in the midst of every other, which is more than this number of interleavings.
async fn every_pair(cut: [bool; 2], at_least: usize) {
    let pairs = CALLS.into_iter().flat_map(|one| CALLS.into_iter().map(move |other| (one, other)));
    let runs = every_interleaving(pairs, &[cut]).await;
    assert!(runs >= at_least, "{runs}");
}

#[tokio::test]
async fn every_call_in_the_midst_of_every_other_keeps_the_rules() {
    every_pair([false, false], 400).await;
}

#[tokio::test]
async fn every_call_that_is_cut_off_keeps_the_rules() {
    every_pair([true, false], 200).await;
}

#[tokio::test]
async fn every_call_in_the_midst_that_is_cut_off_keeps_the_rules() {
    every_pair([false, true], 400).await;
}

#[tokio::test]
async fn every_call_keeps_the_rules_when_no_process_reaches_the_primary() {
    every_pair([true, true], 200).await;
}

#[tokio::test(start_paused = true)]
async fn primary_is_left_after_three_failures_and_returned_to_by_itself() {
    let stores = [memory(), memory()];
    let config = FallbackConfig::new().with_on_loss(OnLoss::ServeMirror);
    let Process { fallback, is_cut, .. } = Process::configured(&stores, config).await;
    is_cut.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        assert!(fallback.get_lock(&of(1).project, "default").await.is_err());
        assert_eq!(fallback.mode(), ServingMode::WriteThrough);
    }
    // Old failures do not count.
    sleep(Duration::from_secs(11)).await;
    for _ in 0..2 {
        assert!(fallback.get_lock(&of(1).project, "default").await.is_err());
        assert_eq!(fallback.mode(), ServingMode::WriteThrough);
    }
    assert_eq!(fallback.get_lock(&of(1).project, "default").await.unwrap(), None);
    assert_eq!(fallback.mode(), ServingMode::MirrorAlone);
    assert!(fallback.try_lock(of(1)).await.unwrap().0);

    is_cut.store(false, Ordering::SeqCst);
    let back = Instant::now();
    while fallback.mode() == ServingMode::MirrorAlone && back.elapsed().as_secs() < 60 {
        sleep(Duration::from_millis(100)).await;
    }
    let took = back.elapsed();
    assert!((30..33).contains(&took.as_secs()), "{took:?}");
    let kept = stores[0].get_lock(&of(1).project, "default").await.unwrap();
    assert_eq!(kept, Some(of(1)), "the primary was given what it lacked");
}

#[tokio::test(start_paused = true)]
async fn primary_that_fails_in_between_is_not_returned_to() {
    let stores = [memory(), memory()];
    let config = FallbackConfig::new().with_on_loss(OnLoss::ServeMirror);
    let config = config.with_failures(1, Duration::from_secs(1));
    let Process { fallback, is_cut, .. } = Process::configured(&stores, config).await;
    is_cut.store(true, Ordering::SeqCst);
    fallback.ping().await.unwrap();
    for _ in 0..4 {
        is_cut.store(false, Ordering::SeqCst);
        sleep(Duration::from_secs(25)).await;
        is_cut.store(true, Ordering::SeqCst);
        sleep(Duration::from_secs(3)).await;
        assert_eq!(fallback.mode(), ServingMode::MirrorAlone);
    }
}

#[tokio::test(start_paused = true)]
async fn conflict_keeps_the_mirror_alone_until_it_is_settled() {
    let stores = [memory(), memory()];
    let config = FallbackConfig::new().with_on_loss(OnLoss::ServeMirror);
    let config = config.with_failures(1, Duration::from_secs(1));
    let Process { fallback, is_cut, .. } = Process::configured(&stores, config).await;
    is_cut.store(true, Ordering::SeqCst);
    assert!(fallback.try_lock(of(1)).await.unwrap().0);
    // A process that does not know the mirror.
    stores[0].try_lock(of(2)).await.unwrap();
    is_cut.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(fallback.mode(), ServingMode::MirrorAlone);
    stores[0].unlock(&of(2).project, "default").await.unwrap();
    sleep(Duration::from_secs(120)).await;
    assert_eq!(fallback.mode(), ServingMode::WriteThrough);
}

/// Explores plans, a part of them unless `LOCK_INTERLEAVED` is set, and returns the number of runs.
fn explore_some(plans: &[Plan], part: usize) -> usize {
    let part = if std::env::var_os("LOCK_INTERLEAVED").is_some() { 1 } else { part };
    let runs = plans.iter().step_by(part).map(explore).sum();
    println!("{} plans, {runs} runs", plans.len().div_ceil(part));
    runs
}

const STARTS: [Start; 4] = [Start::Held, Start::Alone, Start::Owed, Start::Outside];

const ACTS: [Act; 12] = [
    Act::Lock(1),
    Act::Lock(5),
    Act::Unlock(1),
    Act::UnlockAll(1),
    Act::Unlock(5),
    Act::Pass(1, 5),
    Act::Update,
    Act::Discard,
    Act::Forget,
    Act::Command,
    Act::Look,
    Act::Reconcile,
];

/// The calls that change the lock.
const LOCKING: [Act; 4] = [Act::Lock(1), Act::Lock(5), Act::Unlock(1), Act::Pass(1, 5)];

/// The plans of two processes with each pair of calls, from each beginning, cut off or not.
fn every_two(on_loss: [OnLoss; 2], switches: usize, faults: usize) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (number, one) in ACTS.iter().enumerate() {
        for other in &ACTS[number..] {
            for start in STARTS {
                for cut in CUTS {
                    let (acts, on_loss, cut) = ([*one, *other].into(), on_loss.into(), cut.into());
                    plans.push(Plan { start, acts, cut, on_loss, switches, faults });
                }
            }
        }
    }
    // Without the primary nobody sees what was locked without the mirror.
    let is_seen = |plan: &Plan| plan.cut == [false, false] && plan.faults == 0;
    plans.retain(|plan| plan.start != Start::Outside || is_seen(plan));
    plans
}

/// Explores the attempt for each of two pull requests beside another call.
fn beside_an_attempt(start: Start, act: Act) {
    let mut runs = 0;
    for own in [Act::Lock(1), Act::Lock(5)] {
        let (acts, on_loss, cut) = (vec![own, act], vec![OnLoss::ServeMirror; 2], vec![false; 2]);
        runs += explore(&Plan { start, acts, cut, on_loss, switches: 2, faults: 0 });
    }
    assert!(runs >= 20, "{runs}");
}

#[test]
fn note_that_is_settled_during_an_attempt_is_not_missed() {
    beside_an_attempt(Start::Owed, Act::Reconcile);
}

#[test]
fn attempt_that_will_be_refused_blocks_nobody_and_lets_nobody_pass() {
    beside_an_attempt(Start::Outside, Act::Lock(1));
}

#[test]
fn status_that_changes_during_a_reconciliation_is_the_same_in_both_stores() {
    let mut runs = 0;
    for act in [Act::Update, Act::Discard] {
        let (acts, on_loss, cut) =
            (vec![act, Act::Reconcile], vec![OnLoss::ServeMirror; 2], vec![false; 2]);
        let start = Start::Alone;
        runs += explore(&Plan { start, acts, cut, on_loss, switches: 2, faults: 0 });
    }
    assert!(runs >= 20, "{runs}");
}

#[test]
fn status_that_becomes_what_it_was_is_the_same_in_both_stores() {
    let (acts, on_loss) = (vec![Act::Replan, Act::Discard], vec![OnLoss::ServeMirror; 2]);
    let (start, cut) = (Start::Held, vec![false; 2]);
    let runs = explore(&Plan { start, acts, cut, on_loss, switches: 3, faults: 0 });
    assert!(runs >= 20, "{runs}");
}

#[test]
fn one_call_with_two_faults_keeps_the_rules() {
    let mut plans = Vec::new();
    for act in ACTS {
        for start in [Start::Held, Start::Alone, Start::Owed] {
            for on_loss in [OnLoss::ServeMirror, OnLoss::FailClosed] {
                let (acts, on_loss, cut) = (vec![act], vec![on_loss], vec![false]);
                plans.push(Plan { start, acts, cut, on_loss, switches: 0, faults: 2 });
            }
        }
    }
    let runs = explore_some(&plans, 1);
    assert!(runs >= 2000, "{runs}");
}

#[test]
fn steps_of_two_calls_in_every_order_keep_the_rules() {
    let runs = explore_some(&every_two([OnLoss::ServeMirror; 2], 2, 0), 11);
    assert!(runs >= 1000, "{runs}");
}

#[test]
fn two_calls_with_a_fault_at_any_step_keep_the_rules() {
    let mut plans = Vec::new();
    for on_loss in [[OnLoss::ServeMirror; 2], [OnLoss::FailClosed, OnLoss::ServeMirror]] {
        let mut some = every_two(on_loss, 1, 1);
        some.retain(|plan| plan.cut == [false, false]);
        plans.extend(some);
    }
    let runs = explore_some(&plans, 53);
    assert!(runs >= 1000, "{runs}");
}

#[test]
fn steps_of_three_calls_in_every_order_keep_the_rules() {
    let mut plans = Vec::new();
    for one in LOCKING {
        for other in LOCKING {
            for third in [Act::Lock(6), Act::Unlock(5), Act::Reconcile] {
                for start in [Start::Held, Start::Alone, Start::Owed] {
                    for is_cut in [false, true] {
                        let (acts, cut) = (vec![one, other, third], vec![is_cut, false, false]);
                        let on_loss = vec![OnLoss::ServeMirror; 3];
                        plans.push(Plan { start, acts, cut, on_loss, switches: 2, faults: 0 });
                    }
                }
            }
        }
    }
    let runs = explore_some(&plans, 53);
    assert!(runs >= 1000, "{runs}");
}
