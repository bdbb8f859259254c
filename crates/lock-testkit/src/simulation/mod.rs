//! Whole systems in virtual time: managers, a store and a network between them, of which much goes
//! wrong, all of it repeatable from a seed.
//!
//! A seed makes a plan, which is data: processes with their settings, jobs that get keys, hold them
//! and give them back in many ways, and faults of the network, the processes, the store and its
//! clock. A run of the plan is one history. While faults last, what must hold at all times is
//! checked at every command and every answer; when they end, a quiet time follows in which all
//! bounds of waiting are checked; then everything is shut down, and nothing may be left.
//!
//! [`check`] runs one seed. A run that breaks a sentence of the contract is made as small as
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

/// How many smaller plans are tried to make a failure small.
const SHRINKS: u32 = 600;

/// What came of a run in which nothing was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The number that two runs share if their histories are the same.
    pub digest: u64,
    /// The virtual time that the run took.
    pub lasted: Duration,
    /// The number of commands that the store did.
    pub commands: u64,
}

/// A run that broke a sentence of the contract.
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
/// The sentence that was broken, with the history of the smallest run that breaks it.
pub fn check(seed: u64) -> Result<Outcome, Failure> {
    check_with(seed, None)
}

/// Runs the plan of a seed with a fault planted.
///
/// # Errors
/// The sentence that was broken, with the history of the smallest run that breaks it.
pub fn check_with(seed: u64, planted: Option<Planted>) -> Result<Outcome, Failure> {
    let plan = Plan::new(seed);
    let Ran { violation, history, lasted, commands } = run::run(&plan, planted, History::default());
    match violation {
        None => Ok(Outcome { digest: history.digest(), lasted, commands }),
        Some(violation) => Err(smallest(plan, &violation, planted)),
    }
}

/// The sentence that the plan of a seed breaks, with a fault planted or without, as it is.
#[must_use]
pub fn broken_by(seed: u64, planted: Option<Planted>) -> Option<&'static str> {
    let ran = run::run(&Plan::new(seed), planted, History::default());
    ran.violation.map(|violation| violation.sentence)
}

/// The history of the plan of a seed, whatever came of it.
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

    /// The sentence of the contract that was broken.
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
