//! The programs of the simulation on a real store: the observations of the processes must be
//! consistent.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{InspectQuery, ListQuery, LockStore, Result};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};

use super::history::History;
use super::job;
use super::plan::{self, FaultKind, Plan};
use super::run::{self, Ran};
use super::violation::Violation;
use super::{Broken, Failure, Outcome, invariants};

/// The largest number of processes of a program.
pub const PROCESSES: usize = 8;
/// The factor by which a plan is faster where time cannot be skipped.
const PACE: u32 = 20;
/// The number of programs that run at the same time.
const SIDE_BY_SIDE: u64 = 8;
/// The interval between checks for leftovers.
const LOOK: Duration = Duration::from_millis(100);

/// A real store, and the network between it and the processes of a program.
#[async_trait]
pub trait Site: Debug + Send + Sync + 'static {
    /// Connects a process, by its number, which is below [`PROCESSES`].
    async fn connect(&self, process: usize) -> Arc<dyn LockStore>;

    /// Begins a trouble between a process and the store, in place of an earlier one.
    fn trouble(&self, process: usize, trouble: Trouble);

    /// Ends the trouble between a process and the store.
    fn heal(&self, process: usize);

    /// The allowance for delays: zero where time is virtual.
    fn slack(&self) -> Duration;
}

/// A trouble between a process and a real store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// Commands and answers take up to this long.
    Slow(Duration),
    /// Commands do not arrive.
    LosesRequests,
    /// Answers do not arrive.
    LosesAnswers,
    /// Notices do not arrive.
    LosesNotices,
    /// Notices take up to this long.
    DelaysNotices(Duration),
    /// Every command is refused.
    Refuses,
    /// The connection is cut.
    Cut,
}

/// Runs the program of a seed on a real store.
///
/// # Errors
/// The violated sentence, with the history.
pub async fn check_on(site: Arc<dyn Site>, seed: u64) -> std::result::Result<Outcome, Failure> {
    let pace = if site.slack().is_zero() { 1 } else { PACE };
    let plan = Plan::for_a_store(seed, pace);
    let Ran { violation, history, lasted, commands } =
        run::run_on(site, plan.clone(), History::kept()).await;
    match violation {
        None => Ok(Outcome { digest: history.digest(), lasted, commands }),
        Some(violation) => {
            let history = history.into_text();
            Err(Failure(Box::new(Broken { seed, violation, plan, history })))
        }
    }
}

/// Runs the programs of the first seeds, some of them side by side, each on a store of its own or
/// on keys of its own.
///
/// # Panics
/// With the history of the first that violates a sentence.
pub async fn check_programs<T: Site>(programs: u64, mut site: impl AsyncFnMut(u64) -> T) {
    let mut running = JoinSet::new();
    for seed in 0..programs {
        if seed >= SIDE_BY_SIDE {
            ended(running.join_next().await);
        }
        let site = Arc::new(site(seed).await);
        running.spawn(check_on(site, seed));
    }
    while !running.is_empty() {
        ended(running.join_next().await);
    }
}

#[expect(clippy::panic, reason = "a test fails by panicking")]
fn ended(program: Option<std::result::Result<std::result::Result<Outcome, Failure>, JoinError>>) {
    match program {
        Some(Ok(Err(failure))) => panic!("{failure}"),
        Some(Err(error)) => panic!("{error}"),
        Some(Ok(Ok(_))) | None => {}
    }
}

impl dyn Site {
    pub(super) fn begin(&self, fault: &FaultKind) {
        match *fault {
            FaultKind::Environment { process, trouble } => {
                if let Some(trouble) = Trouble::of(trouble) {
                    self.trouble(process, trouble);
                }
            }
            FaultKind::Cut { process, .. } => self.trouble(process, Trouble::Cut),
            _ => {}
        }
    }

    pub(super) fn end(&self, fault: &FaultKind) {
        if let FaultKind::Environment { process, .. } | FaultKind::Cut { process, .. } = *fault {
            self.heal(process);
        }
    }
}

impl Trouble {
    const fn of(trouble: plan::Trouble) -> Option<Self> {
        Some(match trouble {
            plan::Trouble::Slow(longest) => Self::Slow(longest),
            plan::Trouble::LosesRequests(_) => Self::LosesRequests,
            plan::Trouble::LosesAnswers(_) => Self::LosesAnswers,
            plan::Trouble::LosesNotices => Self::LosesNotices,
            plan::Trouble::DelaysNotices(longest) => Self::DelaysNotices(longest),
            plan::Trouble::Refuses => Self::Refuses,
            plan::Trouble::RepeatsRequests(_) | plan::Trouble::RepeatsNotices(_) => return None,
        })
    }
}

/// Waits until the leases and waiters of dead processes are over, for at most this long.
pub(super) async fn check_remains(
    store: &dyn LockStore,
    plan: &Plan,
    bound: Duration,
) -> std::result::Result<(), Violation> {
    let begun = Instant::now();
    loop {
        let left = remains(store, plan).await;
        let left = left
            .map_err(|error| Violation::new("A store that is well answers.", format!("{error}")))?;
        if left == 0 || begun.elapsed() > bound {
            return invariants::nothing_is_left("leases and waiters", left);
        }
        sleep(LOOK).await;
    }
}

/// The number of leases and waiters of the plan's keys.
async fn remains(store: &dyn LockStore, plan: &Plan) -> Result<usize> {
    let mut left = 0;
    let keys: BTreeSet<usize> = plan.jobs.iter().map(|job| job.key).collect();
    for key in keys {
        let seen = store.inspect(&InspectQuery::new(job::key(key))).await?.value;
        left += seen.leases.len() + usize::try_from(seen.waiting).unwrap_or(usize::MAX);
    }
    Ok(left + store.list(&ListQuery::all()).await?.value.items.len())
}
