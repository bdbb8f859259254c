//! One run of a plan, in virtual time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::Ttl;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::Connection;
use super::environment::Environment;
use super::faults::Troubles;
use super::history::{Actor, History};
use super::invariants;
use super::job::{Lives, Worker};
use super::link::Link;
use super::plan::{Job, Plan};
use super::planted::Planted;
use super::process::Life;
use super::quiet;
use super::site::{Site, check_remains};
use super::violation::Violation;

/// The length of the quiet phase, in which everything must come to its end.
const QUIET: Duration = Duration::from_secs(45);
/// The interval between checks of the bounds.
const LOOK: Duration = Duration::from_millis(20);
/// More than the longest lease of a plan.
const LONGEST_LEASE: Duration = Duration::from_secs(150);
/// More than the lifetime of the longest mark.
const AFTERLIFE: Duration = Duration::from_secs(70 * 60);

/// The result of a run.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) violation: Option<Violation>,
    pub(super) history: History,
    /// The virtual time without the wait for the last marks.
    pub(super) lasted: Duration,
    pub(super) commands: u64,
}

/// Runs a plan to its end, or until a sentence is violated.
pub(super) fn run(plan: &Plan, planted: Option<Planted>, history: History) -> Ran {
    lock_core::seed_random(Some(plan.seed));
    if let Some(Planted::Manager(fault)) = planted {
        lock_core::plant(Some(fault));
    }
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing that could be missing");
    let ran = runtime.block_on(async {
        let environment = Arc::new(Environment::new(history, planted));
        let driver = Arc::new(Driver {
            environment: Arc::clone(&environment),
            plan: plan.clone(),
            site: None,
            lives: Mutex::default(),
            begun: Instant::now(),
        });
        driver.run().await
    });
    drop(runtime);
    lock_core::plant(None);
    lock_core::seed_random(None);
    ran
}

/// Runs a plan on a real store.
pub(super) async fn run_on(site: Arc<dyn Site>, plan: Plan, history: History) -> Ran {
    let environment = Arc::new(Environment::around_a_store(history, site.slack()));
    let (site, begun) = (Some(site), Instant::now());
    Arc::new(Driver { environment, plan, site, lives: Mutex::default(), begun }).run().await
}

pub(super) struct Driver {
    pub(super) environment: Arc<Environment>,
    pub(super) plan: Plan,
    /// The site of a real store.
    pub(super) site: Option<Arc<dyn Site>>,
    lives: Mutex<Slots>,
    begun: Instant,
}

#[derive(Default)]
pub(super) struct Slots {
    pub(super) living: BTreeMap<usize, Arc<Life>>,
    /// Processes that are being shut down, or that lost their runtime.
    pub(super) leaving: Vec<Arc<Life>>,
    /// The number of lives that each process had so far.
    counts: BTreeMap<usize, u64>,
    pub(super) troubles: BTreeMap<usize, Troubles>,
}

/// An event of the plan.
enum Event {
    Begin(usize),
    End(usize),
    Work(usize),
}

impl Driver {
    async fn run(self: Arc<Self>) -> Ran {
        tokio::select! {
            biased;
            () = self.environment.until_failed() => {}
            () = self.drive() => {}
        }
        let commands = self.environment.state().commands;
        let (violation, history, lasted) = self.environment.end();
        let lasted = lasted.min(self.plan.busy + QUIET);
        Ran { violation, history, lasted, commands }
    }

    async fn drive(self: &Arc<Self>) {
        for slot in 0..self.plan.processes.len() {
            self.start(slot).await;
        }
        let looking = Arc::clone(self);
        let looking = tokio::spawn(async move { looking.look_at_calls().await });
        for (at, event) in self.events() {
            sleep_until(self.begun + at).await;
            match event {
                Event::Work(number) => self.work(&self.plan.jobs[number]),
                Event::Begin(number) => self.begin(number as u64, &self.plan.faults[number]),
                Event::End(number) => self.end(number as u64, &self.plan.faults[number]).await,
            }
        }
        sleep_until(self.begun + self.plan.busy).await;
        match &self.site {
            None => self.stay_quiet().await,
            Some(_) => self.let_all_end().await,
        }
        self.shut_down().await;
        looking.abort();
        if let Some(site) = &self.site {
            let bound = self.plan.longest_dead_lease() + self.environment.slack();
            let store = site.connect(0).await;
            self.environment.check(check_remains(&*store, &self.plan, bound).await);
            return;
        }
        sleep(LONGEST_LEASE).await;
        sleep(AFTERLIFE).await;
        self.environment.check(self.look_for_remains());
    }

    /// Everything of the plan in the order of time.
    fn events(&self) -> Vec<(Duration, Event)> {
        let jobs = self.plan.jobs.iter().enumerate();
        let mut events: Vec<_> = jobs.map(|(number, job)| (job.at, Event::Work(number))).collect();
        for (number, fault) in self.plan.faults.iter().enumerate() {
            events.push((fault.at, Event::Begin(number)));
            let end = (fault.at + fault.lasts).min(self.plan.busy);
            events.push((end, Event::End(number)));
        }
        events.sort_by_key(|(at, _)| *at);
        events
    }

    pub(super) fn slots(&self) -> MutexGuard<'_, Slots> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn life(&self, slot: usize) -> Option<Arc<Life>> {
        self.slots().living.get(&slot).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Life>> {
        let slots = self.slots();
        slots.living.values().chain(&slots.leaving).cloned().collect()
    }

    /// Removes a process from those that get work and must keep the bounds.
    pub(super) fn let_leave(&self, slot: usize) -> Option<Arc<Life>> {
        let mut slots = self.slots();
        let life = slots.living.remove(&slot)?;
        slots.leaving.push(Arc::clone(&life));
        Some(life)
    }

    pub(super) async fn start(&self, slot: usize) {
        let connected = match &self.site {
            Some(site) => Some(site.connect(slot).await),
            None => None,
        };
        let mut slots = self.slots();
        if slots.living.contains_key(&slot) {
            return;
        }
        let count = slots.counts.entry(slot).or_default();
        *count += 1;
        let count = *count;
        let delay = self.plan.processes[slot].delay;
        slots.troubles.entry(slot).or_default().settle(delay * 4);
        let seed = self.plan.seed ^ (slot as u64) << 32 ^ count << 48;
        let plan = &self.plan.processes[slot];
        let link = Arc::new(Link::new(slot, seed, plan.delay));
        let store = connected.unwrap_or_else(|| {
            Arc::new(Connection::new(Arc::clone(&self.environment), Arc::clone(&link)))
        });
        let life = Life::start(&self.environment, slot, count, plan, link, store);
        slots.living.insert(slot, life);
    }

    fn worker(self: &Arc<Self>, life: &Arc<Life>) -> Worker {
        let driver = Arc::downgrade(self);
        let lives: Lives = Arc::new(move |slot| driver.upgrade().and_then(|it| it.life(slot)));
        Worker { environment: Arc::clone(&self.environment), life: Arc::clone(life), lives }
    }

    fn work(self: &Arc<Self>, job: &Job) {
        if let Some(life) = self.life(job.process) {
            let worker = self.worker(&life);
            life.spawn(Box::pin(worker.work(job.clone())));
        }
    }

    /// Checks that calls end in time, for as long as the run lasts.
    async fn look_at_calls(&self) {
        loop {
            sleep(LOOK * 2).await;
            let outcome = quiet::check_calls(&self.environment.state());
            self.environment.check(outcome);
            if self.site.is_none() {
                let outcome =
                    quiet::grants_are_taken_up(&mut self.environment.state(), &self.calm());
                self.environment.check(outcome);
            }
            let outcome = self.all().iter().try_for_each(|life| life.check());
            self.environment.check(outcome);
        }
    }

    /// Runs a while without faults, and checks that everything happens in time.
    async fn stay_quiet(&self) {
        self.environment.note(Actor::Plan, format_args!("quiet begins"));
        let quiet_from = Instant::now();
        let living = self.calm();
        while quiet_from.elapsed() < QUIET {
            sleep(LOOK).await;
            let outcome = quiet::check(&mut self.environment.state(), &living, quiet_from);
            self.environment.check(outcome);
            self.environment.look();
        }
        self.environment.state().strict_from = None;
    }

    /// Runs without faults until every job has ended, and checks that the keys are used.
    async fn let_all_end(&self) {
        self.environment.note(Actor::Plan, format_args!("quiet begins"));
        let quiet_from = Instant::now();
        while self.all().iter().any(|life| life.jobs.tasks() > 0) {
            sleep(LOOK).await;
            self.environment.look();
            let bound = self.plan.longest_dead_lease() + self.environment.slack();
            let outcome = quiet::somebody_goes_on(&mut self.environment.state(), quiet_from, bound);
            self.environment.check(outcome);
        }
    }

    async fn shut_down(&self) {
        self.environment.note(Actor::Plan, format_args!("everything is shut down"));
        for life in self.all() {
            self.end_life(&life).await;
        }
    }

    /// Ends a process as a well-behaved program does.
    pub(super) async fn end_life(&self, life: &Arc<Life>) {
        self.environment.note(Actor::Process(life.slot), format_args!("is shut down"));
        life.stop();
        let limit = life.plan.shutdown_timeout;
        let call =
            self.environment.state().witness.begin_call(&life.jobs, "shut down".to_owned(), limit);
        let report = life.manager.shutdown().await;
        self.environment.note(Actor::Process(life.slot), format_args!("was shut down: {report:?}"));
        let call = self.environment.state().witness.end_call(call);
        self.environment.check(call.map_or(Ok(()), |call| invariants::call_ends_in_time(&call)));
        // The tasks end when they run the next time.
        sleep(Duration::from_millis(2)).await;
        let tasks = life.tasks();
        if report.unreleased == 0 && !life.jobs.is_paused() {
            self.environment.check(invariants::nothing_is_left("tasks of a manager", tasks));
        }
        life.die();
        let mut slots = self.slots();
        slots.leaving.retain(|leaving| !Arc::ptr_eq(leaving, life));
        slots.living.retain(|_, living| !Arc::ptr_eq(living, life));
    }

    fn look_for_remains(&self) -> Result<(), Violation> {
        let mut state = self.environment.state();
        state.store.settle();
        let now = state.store.clock.now();
        let leases = state.store.keys().values().flat_map(|key| key.leases(now));
        // A lease that never expires outlives its dead holder.
        let leases = leases.filter(|lease| lease.ttl != Ttl::Never).count();
        let held = state.store.keys().values().filter(|key| key.leases(now).next().is_some());
        let held = held.count();
        let waiters: usize = state.store.keys().values().map(|key| key.waiters(now).count()).sum();
        let keys = state.store.keys().len() - held;
        let violation = state.store.ledger.violations.pop();
        drop(state);
        violation.map_or(Ok(()), Err)?;
        invariants::nothing_is_left("leases", leases)?;
        if held == 0 {
            invariants::nothing_is_left("waiters", waiters)?;
        }
        invariants::nothing_is_left("keys", keys)?;
        invariants::nothing_is_left("mailboxes", self.environment.open_mailboxes())
    }
}
