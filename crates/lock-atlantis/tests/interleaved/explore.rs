//! Runs the calls of several processes in every order of their steps, with processes that die and
//! stores that are lost at every step.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use lock_atlantis::fallback::{Fallback, FallbackConfig, FallbackStore, OnLoss};
use lock_compat::legacy::ProjectPlanStatus;
use lock_compat::{LegacyBackend, LegacyError, Result};

use super::beliefs::{Act, Beliefs, of, planned};
use super::cells::Cells;
use super::staged::{Stage, Staged};

/// The contents of the stores at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Pull request 1 holds, in both stores.
    Held,
    /// It holds in the mirror: the primary was lost when it locked.
    Alone,
    /// It held, and a note says that it ended: the primary was lost when it unlocked.
    Owed,
    /// Pull request 8 holds in the primary: it was locked without the mirror.
    Outside,
}

/// The runs to be made.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) start: Start,
    /// The call of each process.
    pub(crate) acts: Vec<Act>,
    /// The processes that cannot reach the primary.
    pub(crate) cut: Vec<bool>,
    /// Reaction of each process to its loss.
    pub(crate) on_loss: Vec<OnLoss>,
    /// Maximum number of times that a process is left between two of its steps.
    pub(crate) switches: usize,
    /// Maximum number of faults.
    pub(crate) faults: usize,
}

impl Plan {
    /// Returns `true` if the stores are the same once all calls have ended.
    fn is_healthy(&self) -> bool {
        let is_same = match self.start {
            Start::Held => true,
            Start::Alone => self.acts.contains(&Act::Reconcile),
            Start::Owed | Start::Outside => false,
        };
        is_same && self.faults == 0 && !self.cut.contains(&true)
    }
}

/// The fate of the next step of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Go,
    /// The store is lost from this step on, which does not happen.
    Refuse,
    /// It happens without an answer, and the store is lost from then on.
    Lose,
    /// The process dies before it.
    Die,
}

#[derive(Debug, Default)]
struct Line {
    next: Option<Step>,
    is_waiting: bool,
    is_losing: bool,
    /// Every step is made at once.
    is_free: bool,
    is_cut: [bool; 2],
}

/// The line of a process to one of its stores.
struct Gate {
    line: Arc<Mutex<Line>>,
    store: usize,
}

impl Gate {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap()
    }
}

#[async_trait]
impl Stage for Gate {
    async fn before(&self, _call: usize) -> Result<()> {
        std::future::poll_fn(|_| {
            let mut line = self.line();
            if line.is_cut[self.store] {
                return Poll::Ready(Err(LegacyError::store(false, "no connection")));
            }
            match line.next.take() {
                None if line.is_free => Poll::Ready(Ok(())),
                None | Some(Step::Die) => {
                    line.is_waiting = true;
                    Poll::Pending
                }
                Some(Step::Go) => Poll::Ready(Ok(())),
                Some(Step::Refuse) => {
                    line.is_cut[self.store] = true;
                    Poll::Ready(Err(LegacyError::store(false, "no connection")))
                }
                Some(Step::Lose) => {
                    (line.is_cut[self.store], line.is_losing) = (true, true);
                    Poll::Ready(Ok(()))
                }
            }
        })
        .await
    }

    async fn after(&self, _call: usize) -> Result<()> {
        match std::mem::take(&mut self.line().is_losing) {
            true => Err(LegacyError::store(true, "no answer")),
            false => Ok(()),
        }
    }
}

struct Process {
    fallback: Fallback,
    line: Arc<Mutex<Line>>,
}

impl Process {
    fn start(stores: &[Arc<Cells>; 2], on_loss: OnLoss) -> Self {
        let line = Arc::new(Mutex::new(Line { is_free: true, ..Line::default() }));
        let staged = |store: usize| {
            let gate = Gate { line: Arc::clone(&line), store };
            let cells = Arc::clone(&stores[store]) as Arc<dyn FallbackStore>;
            Arc::new(Staged::new(cells, gate)) as Arc<dyn FallbackStore>
        };
        let day = Duration::from_secs(24 * 60 * 60);
        let config = FallbackConfig::new()
            .with_on_loss(on_loss)
            .with_failures(1, day)
            .with_notes_kept(Duration::ZERO);
        let open = Fallback::open(staged(0), staged(1), config.with_probe_every(day));
        Self { fallback: at_once(open).expect("it opens"), line }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap()
    }

    /// Loses the primary, and learns it if it may serve without.
    fn cut(&self) {
        self.line().is_cut[0] = true;
        let _ = at_once(self.fallback.ping());
    }

    /// Makes the next step of a call; `true` if that is its end.
    fn advance(&self, call: &mut Call, step: Step) -> bool {
        self.line().next = Some(step);
        self.poll(call)
    }

    fn poll(&self, call: &mut Call) -> bool {
        self.line().is_waiting = false;
        for _ in 0..1000 {
            let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if polled.is_ready() {
                self.line().next = None;
                return true;
            }
            if self.line().is_waiting {
                return false;
            }
        }
        unreachable!("it waits for something else than a store")
    }
}

/// Runs a call whose steps are all made at once.
fn at_once<T>(call: impl Future<Output = T>) -> T {
    let mut call = std::pin::pin!(call);
    for _ in 0..1000 {
        if let Poll::Ready(answer) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return answer;
        }
    }
    unreachable!("it waits for something else than a store")
}

type Call = Pin<Box<dyn Future<Output = ()>>>;

/// The decisions of a run, of which the next run changes the last that can be changed.
#[derive(Debug, Default)]
struct Choices {
    /// Each with the number of options.
    made: Vec<(usize, usize)>,
    next: usize,
}

impl Choices {
    fn choose(&mut self, options: usize) -> usize {
        if self.next == self.made.len() {
            self.made.push((0, options));
        }
        self.next += 1;
        self.made[self.next - 1].0
    }

    /// Returns `false` if all were tried.
    fn advance(&mut self) -> bool {
        self.next = 0;
        while let Some((choice, options)) = self.made.pop() {
            if choice + 1 < options {
                self.made.push((choice + 1, options));
                return true;
            }
        }
        false
    }
}

/// Runs a plan in every order, and returns the number of orders.
pub(crate) fn explore(plan: &Plan) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // Tasks of a fallback that probe its primary never run.
    let _runtime = runtime.enter();
    let (mut choices, mut runs) = (Choices::default(), 0);
    loop {
        let mut steps = Vec::new();
        let run = catch_unwind(AssertUnwindSafe(|| run(plan, &mut choices, &mut steps)));
        if let Err(panic) = run {
            eprintln!("{plan:?}: {steps:?}");
            resume_unwind(panic);
        }
        runs += 1;
        if !choices.advance() {
            return runs;
        }
    }
}

fn run(plan: &Plan, choices: &mut Choices, steps: &mut Vec<(usize, Step)>) {
    let stores: [Arc<Cells>; 2] = Default::default();
    // They open before the past, so that they do not mend it.
    let mut processes: Vec<_> =
        plan.on_loss.iter().map(|on_loss| Process::start(&stores, *on_loss)).collect();
    let beliefs = Beliefs::default();
    begin(plan, &stores, &beliefs);
    for (process, _) in processes.iter().zip(&plan.cut).filter(|(_, is_cut)| **is_cut) {
        process.cut();
    }
    for process in &processes {
        process.line().is_free = false;
    }
    let mut calls: Vec<Option<Call>> = Vec::new();
    for (caller, act) in plan.acts.iter().enumerate() {
        let fallback = processes[caller].fallback.clone();
        calls.push(Some(Box::pin(beliefs.clone().perform(*act, fallback, caller))));
    }
    let (mut has_begun, mut is_dead) = (vec![false; calls.len()], vec![false; calls.len()]);
    let (mut last, mut switches, mut faults) = (None, plan.switches, plan.faults);
    loop {
        let lives = |number: &usize| calls[*number].is_some();
        let is_left = last.is_some_and(|last| lives(&last));
        let may_run = (0..calls.len()).filter(lives);
        let may_run: Vec<_> =
            may_run.filter(|it| !is_left || switches > 0 || Some(*it) == last).collect();
        if may_run.is_empty() {
            break;
        }
        let mut options: Vec<_> = may_run.iter().map(|it| (*it, Step::Go)).collect();
        if faults > 0 {
            for number in may_run {
                options.extend([Step::Refuse, Step::Lose].map(|step| (number, step)));
                if has_begun[number] {
                    options.push((number, Step::Die));
                }
            }
        }
        let (number, step) = options[choices.choose(options.len())];
        steps.push((number, step));
        switches -= usize::from(is_left && last != Some(number));
        faults -= usize::from(step != Step::Go);
        last = Some(number);
        let call = calls[number].as_mut().expect("it lives");
        let process = &processes[number];
        let is_over = match step {
            Step::Die => {
                calls[number] = None;
                is_dead[number] = true;
                continue;
            }
            _ if has_begun[number] => process.advance(call, step),
            _ => process.poll(call) || process.advance(call, step),
        };
        has_begun[number] = true;
        if is_over {
            calls[number] = None;
        }
    }
    // Where nothing is lost, each call and each reconciliation leaves both stores the same.
    if plan.is_healthy() {
        assert_eq!(stores[0].all(), without_notes(&stores[1]), "they differ");
    }
    // All stores are back, and other processes take the place of those that died.
    for (number, process) in processes.iter_mut().enumerate() {
        let mut line = process.line();
        (line.is_free, line.is_cut) = (true, [false; 2]);
        drop(line);
        if is_dead[number] {
            *process = Process::start(&stores, plan.on_loss[number]);
        }
    }
    conclude(&processes, &stores, &beliefs);
}

/// The past, which another process made.
fn begin(plan: &Plan, stores: &[Arc<Cells>; 2], beliefs: &Beliefs) {
    let process = Process::start(stores, OnLoss::ServeMirror);
    let fallback = &process.fallback;
    if plan.acts.iter().any(|act| act.is_of_status()) {
        let results = [planned("first")];
        let status = at_once(fallback.update_pull_with_results(&of(1, 0).pull, &results));
        status.expect("it is written");
        beliefs.has_status("first", ProjectPlanStatus::Planned);
    }
    let held = of(1, 5);
    let lock = || assert!(at_once(fallback.try_lock(held.clone())).expect("it is locked").0);
    let alone = |call: &dyn Fn()| {
        process.cut();
        call();
    };
    match plan.start {
        Start::Held => lock(),
        Start::Alone => alone(&|| {
            lock();
            if plan.acts.iter().any(|act| act.is_of_status()) {
                let results = [planned("late")];
                let pull = of(1, 0).pull;
                at_once(fallback.update_pull_with_results(&pull, &results)).expect("it is written");
                beliefs.has_status("late", ProjectPlanStatus::Planned);
            }
        }),
        Start::Owed => {
            lock();
            alone(&|| {
                let unlock = fallback.unlock_if_owned_by_pull(&held.project, "default", 1);
                at_once(unlock).expect("it is unlocked").expect("it was locked");
            });
            return;
        }
        Start::Outside => {
            let (is_new, lock) = at_once(stores[0].try_lock(of(8, 5))).expect("it is locked");
            assert!(is_new);
            return beliefs.begin(lock);
        }
    }
    beliefs.begin(held);
}

/// The processes make the stores the same, what they were told is right, and nothing is stuck.
fn conclude(processes: &[Process], stores: &[Arc<Cells>; 2], beliefs: &Beliefs) {
    for process in processes {
        let report = at_once(process.fallback.reconcile()).expect("both are there");
        assert!(report.is_clean(), "{report}");
    }
    assert_eq!(stores[0].all(), without_notes(&stores[1]));
    beliefs.check(&stores[1]);
    let (next, Process { fallback, .. }) = (of(9, 0), &processes[0]);
    at_once(fallback.unlock(&next.project, "default")).expect("it can be unlocked");
    assert!(at_once(fallback.try_lock(next)).expect("it can be locked").0, "it is stuck");
    assert_eq!(stores[0].all(), without_notes(&stores[1]));
}

fn without_notes(mirror: &Cells) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut all = mirror.all();
    all.retain(|key, _| !key.starts_with("lock-fallback/"));
    all
}
