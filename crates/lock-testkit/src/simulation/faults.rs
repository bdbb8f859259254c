//! The faults of a run: the beginning and end of each, and the processes without troubles.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::history::Actor;
use super::plan::{Fault, FaultKind, ProcessPlan};
use super::process::Life;
use super::quiet::{self, Living};
use super::run::Driver;
use super::store::Store;

/// The present troubles of a process.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    lasting: usize,
    /// The time at which everything outstanding after the last has ended.
    calm_from: Option<Instant>,
}

impl Troubles {
    /// Notes that everything outstanding now has ended after this time.
    pub(super) fn settle(&mut self, after: Duration) {
        self.calm_from = self.calm_from.max(Some(Instant::now() + after));
    }
}

impl Driver {
    pub(super) fn begin(self: &Arc<Self>, number: u64, fault: &Fault) {
        let lasts = fault.lasts;
        self.environment.note(Actor::Plan, format_args!("begins for {lasts:?}: {:?}", fault.kind));
        self.for_troubles_of(&fault.kind, |_, troubles| troubles.lasting += 1);
        if let Some(site) = &self.site {
            site.begin(&fault.kind);
        }
        match fault.kind {
            FaultKind::Environment { process, trouble } => {
                self.with(process, |life| life.link.begin(number, trouble));
            }
            FaultKind::Cut { process, .. } => self.with(process, |life| life.link.cut()),
            FaultKind::Pause { process } => self.with(process, Life::pause),
            FaultKind::Die { process } => {
                let life = self.slots().living.remove(&process);
                if let Some(life) = life {
                    life.die();
                }
            }
            FaultKind::LoseRuntime { process } => {
                if let Some(life) = self.let_leave(process) {
                    life.lose_runtime();
                }
            }
            FaultKind::ShutDown { process } => {
                if let Some(life) = self.let_leave(process) {
                    life.resume();
                    let driver = Arc::clone(self);
                    drop(tokio::spawn(async move { driver.end_life(&life).await }));
                }
            }
            FaultKind::Restart { keeps_data } => {
                self.environment.state().store.is_down = true;
                self.all().iter().for_each(|life| life.link.cut());
                if !keeps_data {
                    self.environment.state().store.lose_everything();
                }
            }
            FaultKind::JumpForward { by } => {
                self.with_clock(|store| {
                    store.clock.jump_forward(by);
                    store.ledger.note_jump(by);
                });
            }
            FaultKind::JumpBack { by } => self.with_clock(|store| store.clock.jump_back(by)),
            FaultKind::Stand => self.with_clock(|store| store.clock.stand(true)),
        }
    }

    pub(super) async fn end(&self, number: u64, fault: &Fault) {
        self.environment.note(Actor::Plan, format_args!("ends: {:?}", fault.kind));
        let is_of_notices =
            matches!(fault.kind, FaultKind::Environment { trouble, .. } if trouble.is_of_notices());
        self.for_troubles_of(&fault.kind, |plan, troubles| {
            troubles.lasting -= 1;
            let settling = quiet::settling(plan.operation_timeout, plan.delay);
            troubles.settle(if is_of_notices { plan.delay * 4 } else { settling });
        });
        if let Some(site) = &self.site {
            site.end(&fault.kind);
        }
        match fault.kind {
            FaultKind::Environment { process, .. } => self.with(process, |life| {
                life.link.end(number);
                if is_of_notices {
                    self.environment.tell_missed(&life.link, false);
                }
            }),
            FaultKind::Cut { process, ends_notices } => {
                self.with(process, |life| self.rebuild(life, ends_notices));
            }
            FaultKind::Pause { process } => self.with(process, Life::resume),
            FaultKind::Die { process }
            | FaultKind::ShutDown { process }
            | FaultKind::LoseRuntime { process } => self.start(process).await,
            FaultKind::Restart { .. } => {
                self.environment.state().store.is_down = false;
                self.all().iter().for_each(|life| self.rebuild(life, false));
            }
            FaultKind::Stand => self.with_clock(|store| store.clock.stand(false)),
            FaultKind::JumpForward { .. } | FaultKind::JumpBack { .. } => {}
        }
    }

    /// Updates the troubles of the processes that a fault affects.
    fn for_troubles_of(&self, kind: &FaultKind, change: impl Fn(&ProcessPlan, &mut Troubles)) {
        let mut slots = self.slots();
        for (slot, plan) in self.plan.processes.iter().enumerate() {
            if kind.process().is_none_or(|process| process == slot) {
                change(plan, slots.troubles.entry(slot).or_default());
            }
        }
    }

    /// The processes without troubles.
    pub(super) fn calm(&self) -> Vec<Living> {
        let slots = self.slots();
        let living = slots.living.iter();
        let calm = living.filter_map(|(slot, life)| {
            let troubles = slots.troubles.get(slot).filter(|troubles| troubles.lasting == 0)?;
            Some(life.living(troubles.calm_from?))
        });
        calm.collect()
    }

    fn rebuild(&self, life: &Life, ends_notices: bool) {
        if self.environment.state().store.is_down {
            return;
        }
        life.link.rebuild();
        self.environment.tell_missed(&life.link, ends_notices);
    }

    fn with(&self, slot: usize, change: impl Fn(&Life)) {
        self.all().iter().filter(|life| life.slot == slot).for_each(|life| change(life));
    }

    fn with_clock(&self, change: impl FnOnce(&mut Store)) {
        let mut state = self.environment.state();
        change(&mut state.store);
        state.store.observe_all();
    }
}
