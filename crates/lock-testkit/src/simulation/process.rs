//! A process: a manager, its tasks and its network, and a successor after it is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lock_core::{LockManager, LockStore, ManagerConfig, OwnerId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::environment::Environment;
use super::gate::{Gate, Task};
use super::history::Actor;
use super::link::Link;
use super::plan::ProcessPlan;
use super::quiet::{self, Living};
use super::violation::Violation;

/// One life of a process: from its start to its end.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) slot: usize,
    pub(super) plan: ProcessPlan,
    pub(super) manager: LockManager,
    pub(super) link: Arc<Link>,
    /// The gate of the program's own tasks.
    pub(super) jobs: Arc<Gate>,
    /// The gate of the manager's tasks.
    tasks: Arc<Gate>,
    /// True once the jobs are to end. Not a `watch` channel: it wakes tasks in an order that no
    /// seed decides.
    is_stopping: AtomicBool,
    stopping: Notify,
}

impl Life {
    /// Starts a process.
    pub(super) fn start(
        environment: &Arc<Environment>,
        slot: usize,
        number: u64,
        plan: &ProcessPlan,
        link: Arc<Link>,
        store: Arc<dyn LockStore>,
    ) -> Arc<Self> {
        let config = ManagerConfig::default()
            .with_ageing_step(plan.ageing_step)
            .and_then(|config| config.with_operation_timeout(plan.operation_timeout))
            .and_then(|config| config.with_shutdown_timeout(plan.shutdown_timeout))
            .expect("a plan's settings are within their limits");
        let owner = OwnerId::parse(format!("p{slot}.{number}")).expect("a short name is an owner");
        let tasks = Arc::<Gate>::default();
        let behind = Arc::clone(&tasks);
        let spawn = move |task: Task| behind.spawn(task);
        let manager = LockManager::with_config(store, owner, config).with_spawner(spawn);
        let (plan, jobs) = (plan.clone(), Arc::default());
        let (is_stopping, stopping) = (AtomicBool::new(false), Notify::new());
        environment.note(Actor::Process(slot), format_args!("starts, life {number}"));
        Arc::new(Self { slot, plan, manager, link, jobs, tasks, is_stopping, stopping })
    }

    /// Runs one of the program's tasks.
    pub(super) fn spawn(&self, task: Task) {
        self.jobs.spawn(task);
    }

    /// Stops everything, with all messages held on their way.
    pub(super) fn pause(&self) {
        self.link.hold(true);
        self.jobs.pause();
        self.tasks.pause();
    }

    /// Resumes everything.
    pub(super) fn resume(&self) {
        self.link.hold(false);
        self.tasks.resume();
        self.jobs.resume();
    }

    /// Kills the process, without any notice to others.
    pub(super) fn die(&self) {
        self.link.die();
        self.tasks.kill();
        self.jobs.kill();
    }

    /// Drops the manager's tasks.
    pub(super) fn lose_runtime(&self) {
        self.tasks.kill();
    }

    /// Asks the jobs to end.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.stopping.notify_waiters();
    }

    /// Waits until the jobs are to end.
    pub(super) async fn until_stopping(&self) {
        let stopping = self.stopping.notified();
        if !self.is_stopping.load(Ordering::SeqCst) {
            stopping.await;
        }
    }

    /// The number of tasks that the manager has.
    pub(super) fn tasks(&self) -> usize {
        self.tasks.tasks()
    }

    /// Fails when a task of the process panicked.
    pub(super) fn check(&self) -> Result<(), Violation> {
        let panic = self.jobs.panic().or_else(|| self.tasks.panic());
        let broken = |said| Violation::new("Nothing panics.", format!("p{}: {said}", self.slot));
        panic.map_or(Ok(()), |said| Err(broken(said)))
    }

    /// The longest time that a message takes one way while nothing is wrong.
    pub(super) const fn delay(&self) -> Duration {
        self.plan.delay
    }

    /// The time after the last fault within which everything outstanding has ended.
    pub(super) fn settling(&self) -> Duration {
        quiet::settling(self.plan.operation_timeout, self.plan.delay)
    }

    /// The facts that the bounds of a quiet phase need.
    pub(super) fn living(&self, calm_from: Instant) -> Living {
        let (owner, life) = (self.manager.owner().as_str().to_owned(), Arc::clone(&self.jobs));
        Living { owner, life, delay: self.delay(), settling: self.settling(), calm_from }
    }
}
