//! The plan of a run: data made from a seed, from which parts can be left out.

mod generate;

use std::time::Duration;

use lock_core::{Mode, Priority, Ttl};

/// Everything that happens in a run from outside: the jobs and the faults.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) processes: Vec<ProcessPlan>,
    pub(super) jobs: Vec<Job>,
    pub(super) faults: Vec<Fault>,
    /// The time in which jobs begin and faults last; the quiet phase follows.
    pub(super) busy: Duration,
}

impl Plan {
    /// The plan of a seed for a real store: without the faults that only a simulated store has, and
    /// `pace` times as fast.
    pub(super) fn for_a_store(seed: u64, pace: u32) -> Self {
        let mut plan = Self::new(seed);
        let limits = [Duration::from_secs(1), Duration::from_secs(3)];
        let within = |span: Duration| match pace {
            1 => span,
            _ => span.clamp(limits[0], limits[1]),
        };
        plan.busy /= pace;
        plan.faults.retain(|fault| !fault.kind.is_of_the_store());
        for fault in &mut plan.faults {
            (fault.at, fault.lasts) = (fault.at / pace, fault.lasts / pace);
        }
        for job in &mut plan.jobs {
            job.at /= pace;
            if let Work::Hold { terms, patience, hold, end, .. } = &mut job.work {
                *hold /= pace;
                terms.keep_alive = within(terms.keep_alive);
                // A lease that never expires would outlive its dead holder.
                let ttl = within(terms.ttl.span().unwrap_or(limits[1]));
                terms.ttl = Ttl::parse(ttl).unwrap_or_default();
                match patience {
                    Patience::For(wait) => *wait /= pace,
                    Patience::Once | Patience::Endless => {}
                }
                match end {
                    HoldEnd::Hand { after, .. } => *after /= pace,
                    HoldEnd::Upgrade { wait } => *wait /= pace,
                    _ => {}
                }
            }
        }
        plan
    }

    /// The longest time for which a dead process's lease or queue position lasts.
    pub(super) fn longest_dead_lease(&self) -> Duration {
        let longest = self.jobs.iter().filter_map(|job| match &job.work {
            Work::Hold { terms, .. } => Some(terms.ttl.span()? + terms.keep_alive * 2),
            _ => None,
        });
        longest.max().unwrap_or_default()
    }
}

impl Trouble {
    /// Returns `true` if it affects only notices, not commands and their answers.
    pub(super) const fn is_of_notices(self) -> bool {
        matches!(self, Self::LosesNotices | Self::DelaysNotices(_) | Self::RepeatsNotices(_))
    }
}

impl FaultKind {
    /// The process that it affects; `None` means all.
    pub(super) const fn process(&self) -> Option<usize> {
        match *self {
            Self::Environment { process, .. }
            | Self::Cut { process, .. }
            | Self::Pause { process }
            | Self::Die { process }
            | Self::LoseRuntime { process }
            | Self::ShutDown { process } => Some(process),
            Self::Restart { .. }
            | Self::JumpForward { .. }
            | Self::JumpBack { .. }
            | Self::Stand => None,
        }
    }

    /// Returns `true` if it happens to the store, not to a process or its network.
    const fn is_of_the_store(&self) -> bool {
        matches!(
            self,
            Self::Restart { .. } | Self::JumpForward { .. } | Self::JumpBack { .. } | Self::Stand
        )
    }
}

/// The settings of a process.
#[derive(Clone, Debug)]
pub(super) struct ProcessPlan {
    pub(super) ageing_step: Duration,
    pub(super) operation_timeout: Duration,
    pub(super) shutdown_timeout: Duration,
    /// The longest time that a message takes one way while nothing is wrong.
    pub(super) delay: Duration,
}

/// One line of work of a process.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) number: u128,
    /// The identity of its request: its number, or that of the job whose successor it is.
    pub(super) request: u128,
    pub(super) at: Duration,
    pub(super) process: usize,
    pub(super) key: usize,
    pub(super) work: Work,
}

/// The work of a job.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// Gets the key, and does something with the lease.
    Hold {
        terms: Terms,
        patience: Patience,
        /// The number of polls after which the future that asks is dropped.
        polls: Option<u32>,
        hold: Duration,
        end: HoldEnd,
    },
    /// Evicts every lease of the key.
    EvictAll,
    /// Evicts the lease of the key that ends first.
    EvictLease,
    /// Evicts the head of the queue.
    EvictWaiter,
}

/// The terms of a request.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) ttl: Ttl,
    pub(super) keep_alive: Duration,
    pub(super) priority: Priority,
    pub(super) mode: Mode,
}

/// The time that a job is prepared to wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// It asks once.
    Once,
    /// It waits in the queue this long.
    For(Duration),
    /// It waits in the queue until the run ends.
    Endless,
}

/// The end of a lease that was held for as long as planned.
#[derive(Clone, Copy, Debug)]
pub(super) enum HoldEnd {
    /// It is released.
    Release,
    /// The guard is dropped.
    Drop,
    /// The work was done by [`run`](lock_core::LockGuard::run), and the guard is dropped.
    Run,
    /// The lease is taken out, and another process adopts it after this time.
    Hand { to: usize, after: Duration },
    /// The lease is taken out and runs out; another process adopts it too late, while the request
    /// asks again.
    HandTooLate { to: usize },
    /// The lease is transferred to the owner of another process, which adopts it.
    TransferToOwner { to: usize },
    /// The lease is exchanged for an exclusive one, within a time.
    Upgrade { wait: Duration },
    /// The lease is transferred to the head of the queue.
    TransferToWaiter,
}

/// Something that goes wrong for a while.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) at: Duration,
    pub(super) lasts: Duration,
    pub(super) kind: FaultKind,
}

/// The kind of a fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum FaultKind {
    /// Something between one process and the store.
    Environment { process: usize, trouble: Trouble },
    /// The connection is cut; the notices end, or continue after a `MayHaveMissed`.
    Cut { process: usize, ends_notices: bool },
    /// The process is paused.
    Pause { process: usize },
    /// The process dies; a successor starts afterwards.
    Die { process: usize },
    /// The runtime of the manager's tasks ends, while its program goes on; a successor starts
    /// afterwards.
    LoseRuntime { process: usize },
    /// The manager is shut down; a successor starts afterwards.
    ShutDown { process: usize },
    /// The store is down, and keeps its data or loses it.
    Restart { keeps_data: bool },
    /// The store's clock jumps forward by this much.
    JumpForward { by: Duration },
    /// The store's clock jumps back by this much.
    JumpBack { by: Duration },
    /// The store's clock stands still.
    Stand,
}

/// A trouble between a process and the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Messages take up to this long.
    Slow(Duration),
    /// This percentage of the requests is lost.
    LosesRequests(u8),
    /// This percentage of the answers is lost.
    LosesAnswers(u8),
    /// This percentage of the requests is delivered twice.
    RepeatsRequests(u8),
    /// Every notice is lost.
    LosesNotices,
    /// Notices take up to this long.
    DelaysNotices(Duration),
    /// Every notice is delivered twice, the second time up to this much later.
    RepeatsNotices(Duration),
    /// Every request is refused: it certainly does not happen.
    Refuses,
}
