//! Whole systems in virtual time: managers, a store and a faulty network between them, repeatable
//! from a seed.
//!
//! A seed makes a plan, which is data: processes with their settings, jobs that get keys, hold them
//! and give them back in many ways, and faults of the network, the processes, the store and its
//! clock. A run of the plan is one history. While faults last, the invariants of all times are
//! checked at every command and every answer. Then a quiet phase follows, in which all bounds of
//! waiting are checked. Finally everything is shut down, and nothing may be left.
//!
//! [`check`] runs one seed. A run that violates a sentence of the contract is reduced as far as
//! possible, and the [`Failure`] prints its history.

mod clock;
mod connection;
mod environment;
mod faults;
mod gate;
mod handing;
mod history;
mod invariants;
mod job;
mod ledger;
mod lines;
mod link;
mod plan;
mod planted;
mod process;
mod quiet;
mod run;
mod show;
mod shrink;
mod site;
mod store;
mod upgrading;
mod violation;
mod witness;

use std::fmt;
use std::time::Duration;

use history::History;
pub use lines::Lines;
use plan::Plan;
pub use planted::{Plant, Planted, planted};
use run::Ran;
pub use site::{PROCESSES, Site, Trouble, check_on, check_programs};
use violation::Violation;

/// The number of smaller plans to try when reducing a failure.
const SHRINKS: u32 = 600;

/// The result of a run without violations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The number that two runs share if their histories are the same.
    pub digest: u64,
    /// The virtual time that the run took.
    pub lasted: Duration,
    /// The number of commands that the store executed.
    pub commands: u64,
}

/// A run that violated a sentence of the contract.
#[derive(Debug)]
pub struct Failure(Box<Broken>);

#[derive(Debug)]
struct Broken {
    seed: u64,
    violation: Violation,
    plan: Plan,
    history: String,
}

/// Runs the plan of a seed.
///
/// # Errors
/// The violated sentence, with the history of the smallest run that violates it.
pub fn check(seed: u64) -> Result<Outcome, Failure> {
    check_with(seed, None)
}

/// Runs the plan of a seed with a fault planted.
///
/// # Errors
/// The violated sentence, with the history of the smallest run that violates it.
pub fn check_with(seed: u64, planted: Option<Planted>) -> Result<Outcome, Failure> {
    let plan = Plan::new(seed);
    let Ran { violation, history, lasted, commands } = run::run(&plan, planted, History::default());
    match violation {
        None => Ok(Outcome { digest: history.digest(), lasted, commands }),
        Some(violation) => Err(smallest(plan, &violation, planted)),
    }
}

/// The sentence that the plan of a seed violates, with or without a planted fault.
#[must_use]
pub fn broken_by(seed: u64, planted: Option<Planted>) -> Option<&'static str> {
    let ran = run::run(&Plan::new(seed), planted, History::default());
    ran.violation.map(|violation| violation.sentence)
}

/// The history of the plan of a seed, whatever its outcome.
#[must_use]
pub fn history_of(seed: u64) -> String {
    run::run(&Plan::new(seed), None, History::kept()).history.into_text()
}

fn smallest(plan: Plan, first: &Violation, planted: Option<Planted>) -> Failure {
    let (seed, sentence) = (plan.seed, first.sentence);
    let fails = |plan: &Plan| {
        let ran = run::run(plan, planted, History::default());
        ran.violation.is_some_and(|violation| violation.sentence == sentence)
    };
    let mut tries = 0;
    let is_time_up = || {
        tries += 1;
        tries > SHRINKS
    };
    let plan = shrink::shrink(plan, fails, is_time_up);
    let Ran { violation, history, .. } = run::run(&plan, planted, History::kept());
    let violation = violation.unwrap_or_else(|| first.clone());
    Failure(Box::new(Broken { seed, violation, plan, history: history.into_text() }))
}

impl Failure {
    /// The seed of the run.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.0.seed
    }

    /// The sentence of the contract that was violated.
    #[must_use]
    pub const fn sentence(&self) -> &'static str {
        self.0.violation.sentence
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { seed, violation, plan, history } = &*self.0;
        writeln!(f, "seed {seed} breaks: {}", violation.sentence)?;
        writeln!(f, "  {}", violation.detail)?;
        writeln!(f, "processes:")?;
        for (slot, process) in plan.processes.iter().enumerate() {
            writeln!(f, "  p{slot} {process:?}")?;
        }
        writeln!(f, "milliseconds who what")?;
        f.write_str(history)
    }
}

impl std::error::Error for Failure {}
