//! The plan of a seed.

use std::time::Duration;

use lock_core::{Mode, Priority, Ttl};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Fault, FaultKind, HoldEnd, Job, Patience, Plan, ProcessPlan, Terms, Trouble, Work};

/// The ttls in milliseconds that jobs choose from.
const TTLS: [u64; 8] = [60, 300, 1_000, 3_000, 10_000, 30_000, 30_000, 120_000];
/// The latest start of a job, counted from the last fault, in milliseconds.
const LATEST: u64 = 25_000;
/// The keep-alives in milliseconds that jobs choose from.
const KEEP_ALIVES: [u64; 6] = [600, 1_500, 3_000, 10_000, 10_000, 30_000];
/// The times for which jobs hold, in milliseconds.
const HOLDS: [u64; 7] = [0, 50, 400, 2_000, 2_000, 8_000, 20_000];
/// The times for which jobs hold in crowded plans, in milliseconds.
const SHORT_HOLDS: [u64; 4] = [0, 20, 50, 150];

/// The theme of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theme {
    /// Anything.
    All,
    /// Faults that end together, and long heartbeats, so that a waiter that missed something waits
    /// visibly long.
    Aftermath,
    /// Many short turns on a slow network, most of them after the last fault.
    Rush,
    /// Readers that upgrade, among writers.
    Upgrades,
    /// Many short gaps in the notices, among short turns on a slow network.
    Gaps,
}

impl Theme {
    /// Most plans are of anything; the other themes create what rarely occurs by chance.
    const fn of(seed: u64) -> Self {
        match seed % 8 {
            2 => Self::Aftermath,
            5 => Self::Rush,
            7 => Self::Gaps,
            3 if seed % 16 == 3 => Self::Upgrades,
            _ => Self::All,
        }
    }

    const fn has_short_turns(self) -> bool {
        matches!(self, Self::Rush | Self::Gaps)
    }
}

impl Plan {
    /// The plan of a seed.
    pub(in crate::simulation) fn new(seed: u64) -> Self {
        let (theme, mut rng) = (Theme::of(seed), StdRng::seed_from_u64(seed));
        let processes = match rng.random_range(0..100) {
            0..20 => 1,
            20..55 => 2,
            55..80 => 3,
            _ => rng.random_range(4..=8),
        };
        let keys = if rng.random_bool(0.6) { 1 } else { rng.random_range(1..=5) };
        let longest = if theme == Theme::All { 60_000 } else { 8_000 };
        let busy = millis(rng.random_range(2_000..longest));
        let mut generator =
            Generator { theme, rng, keys, processes, busy, slowest: Duration::ZERO };
        let processes: Vec<_> = (0..processes).map(|_| generator.process()).collect();
        generator.slowest = processes.iter().map(|it| it.delay).max().unwrap_or_default();
        let jobs = generator.jobs();
        let faults = generator.faults();
        Self { seed, processes, jobs, faults, busy }
    }
}

struct Generator {
    theme: Theme,
    rng: StdRng,
    keys: usize,
    processes: usize,
    busy: Duration,
    /// The longest time that a message takes one way while nothing is wrong.
    slowest: Duration,
}

impl Generator {
    fn process(&mut self) -> ProcessPlan {
        let steps = [Duration::ZERO, millis(500), millis(5_000), millis(120_000)];
        let is_slow = self.theme.has_short_turns();
        let timeouts = if self.theme == Theme::All { [500, 2_000, 5_000, 5_000] } else { [500; 4] };
        ProcessPlan {
            ageing_step: self.pick(&steps),
            operation_timeout: millis(self.pick(&timeouts)),
            shutdown_timeout: millis(self.pick(&[1_000, 10_000, 30_000])),
            delay: match self.rng.random_range(0..4) {
                0 => millis(self.rng.random_range(20..=100)),
                1 if is_slow => millis(self.rng.random_range(50..=100)),
                _ => millis(self.rng.random_range(0..=8)),
            },
        }
    }

    fn jobs(&mut self) -> Vec<Job> {
        let more = if self.theme.has_short_turns() { 20 } else { 0 };
        let count = self.rng.random_range(3 + more..=12 + 6 * self.processes as u128 + more);
        let mut jobs: Vec<Job> = (1..=count).map(|number| self.job(number)).collect();
        jobs.sort_by_key(|job| job.at);
        // A successor repeats the request of an earlier job.
        for index in 1..jobs.len() {
            if self.rng.random_bool(0.1) {
                let before = self.rng.random_range(0..index);
                let (request, key) = (jobs[before].request, jobs[before].key);
                (jobs[index].request, jobs[index].key) = (request, key);
            }
        }
        jobs
    }

    fn job(&mut self, number: u128) -> Job {
        Job {
            number,
            request: number,
            at: self.beginning(),
            process: self.any_process(),
            key: self.rng.random_range(0..self.keys),
            work: self.work(),
        }
    }

    fn work(&mut self) -> Work {
        match self.rng.random_range(0..100) {
            0..2 => return Work::EvictAll,
            2..5 => return Work::EvictLease,
            5..8 => return Work::EvictWaiter,
            _ => {}
        }
        let ttl = match self.theme {
            Theme::Aftermath => self.pick(&[1_000, 3_000]),
            _ => self.pick(&TTLS),
        };
        let ttl = Ttl::parse(millis(ttl)).unwrap_or_default();
        // A manager waits for the answer to a hear for at most a third of the keep-alive.
        let keep_alives = match self.theme {
            Theme::Aftermath => [10_000, 10_000, 30_000, 30_000, 30_000, 30_000],
            _ => KEEP_ALIVES,
        };
        let least = if self.theme == Theme::Rush { 7 } else { 10 };
        let keep_alive = millis(self.pick(&keep_alives)).max(self.slowest * least);
        let mode = match self.rng.random_range(0..10) {
            0..7 if self.theme == Theme::Upgrades => Mode::READER,
            0 => Mode::READER,
            1 => Mode::semaphore(2).unwrap_or_default(),
            _ => Mode::Exclusive,
        };
        let terms = Terms {
            ttl: if self.rng.random_bool(0.07) { Ttl::Never } else { ttl },
            keep_alive,
            priority: self.pick(&Priority::ALL),
            mode,
        };
        let patience = match self.rng.random_range(0..10) {
            0 => Patience::Once,
            1..4 => Patience::For(millis(self.rng.random_range(0..20_000))),
            _ => Patience::Endless,
        };
        let polls = self.rng.random_bool(0.15).then(|| self.rng.random_range(0..12));
        let hold = match self.theme.has_short_turns() {
            true => millis(self.pick(&SHORT_HOLDS)),
            false => millis(self.pick(&HOLDS)),
        };
        let end = self.hold_end();
        let is_upgrade = self.theme == Theme::Upgrades && mode == Mode::READER;
        let wait = millis(2_000) + hold * 2;
        let end = if is_upgrade { HoldEnd::Upgrade { wait } } else { end };
        Work::Hold { terms, patience, polls, hold, end }
    }

    fn hold_end(&mut self) -> HoldEnd {
        match self.rng.random_range(0..20) {
            0..8 => HoldEnd::Release,
            8..13 => HoldEnd::Drop,
            13..15 => HoldEnd::Run,
            15 => HoldEnd::HandTooLate { to: self.any_process() },
            16 => {
                let after = millis(self.rng.random_range(0..5_000));
                HoldEnd::Hand { to: self.any_process(), after }
            }
            17 => HoldEnd::TransferToOwner { to: self.any_process() },
            _ => HoldEnd::TransferToWaiter,
        }
    }

    fn faults(&mut self) -> Vec<Fault> {
        match self.theme {
            Theme::Aftermath => return (0..5).map(|_| self.lasting_fault()).collect(),
            Theme::Gaps => return self.gaps(),
            Theme::All | Theme::Rush | Theme::Upgrades => {}
        }
        let count = match self.rng.random_range(0..10) {
            0 => 0,
            1..5 => self.rng.random_range(1..=2),
            5..8 => self.rng.random_range(1..=6),
            _ => self.rng.random_range(4..=14),
        };
        // A store that lost everything after its clock was set back cannot continue with higher
        // tokens: a run has one or the other.
        let shakes_clock = self.rng.random_bool(0.5);
        let mut faults: Vec<Fault> = (0..count).map(|_| self.fault(shakes_clock)).collect();
        faults.sort_by_key(|fault| fault.at);
        faults
    }

    /// A fault of the network that lasts until the last fault ends.
    fn lasting_fault(&mut self) -> Fault {
        let last = self.busy / 2;
        let at = self.busy - millis(self.rng.random_range(1..=last.as_millis() as u64));
        let process = self.any_process();
        let kind = match self.rng.random_range(0..6) {
            0 => FaultKind::Cut { process, ends_notices: self.rng.random_bool(0.3) },
            1 => FaultKind::Die { process },
            2..=4 => FaultKind::Environment { process, trouble: self.trouble() },
            _ => FaultKind::Environment { process, trouble: Trouble::LosesNotices },
        };
        Fault { at, lasts: self.busy - at, kind }
    }

    /// Short gaps in the notices, one after the other.
    fn gaps(&mut self) -> Vec<Fault> {
        let (mut faults, mut at) = (Vec::new(), Duration::ZERO);
        loop {
            at += millis(self.rng.random_range(1..=2_500));
            let lasts = millis(self.rng.random_range(1..=300));
            if at + lasts >= self.busy {
                return faults;
            }
            let process = self.any_process();
            let kind = match self.rng.random_range(0..8) {
                0 => FaultKind::Cut { process, ends_notices: self.rng.random_bool(0.3) },
                _ => FaultKind::Environment { process, trouble: Trouble::LosesNotices },
            };
            faults.push(Fault { at, lasts, kind });
        }
    }

    fn fault(&mut self, shakes_clock: bool) -> Fault {
        let at = self.moment();
        let longest = self.pick(&[100, 2_000, 10_000, 60_000]);
        let lasts = millis(self.rng.random_range(1..=longest)).min(self.busy - at);
        let process = self.any_process();
        let kind = match self.rng.random_range(0..100) {
            0..40 => FaultKind::Environment { process, trouble: self.trouble() },
            40..55 => FaultKind::Cut { process, ends_notices: self.rng.random_bool(0.3) },
            55..68 => FaultKind::Pause { process },
            68..78 => FaultKind::Die { process },
            78..82 => FaultKind::LoseRuntime { process },
            82..86 => FaultKind::ShutDown { process },
            86..90 => FaultKind::Restart { keeps_data: true },
            _ if !shakes_clock => FaultKind::Restart { keeps_data: false },
            90..93 => FaultKind::JumpForward { by: millis(self.rng.random_range(1..60_000)) },
            93..97 => FaultKind::JumpBack { by: millis(self.rng.random_range(1..60_000)) },
            _ => FaultKind::Stand,
        };
        Fault { at, lasts, kind }
    }

    fn trouble(&mut self) -> Trouble {
        let longest = self.pick(&[50, 500, 5_000, 20_000]);
        let span = millis(self.rng.random_range(1..=longest));
        let percent = self.pick(&[10, 50, 100]);
        match self.rng.random_range(0..8) {
            0 => Trouble::Slow(span),
            1 => Trouble::LosesRequests(percent),
            2 => Trouble::LosesAnswers(percent),
            3 => Trouble::RepeatsRequests(percent),
            4 => Trouble::LosesNotices,
            5 => Trouble::DelaysNotices(span),
            6 => Trouble::RepeatsNotices(span),
            _ => Trouble::Refuses,
        }
    }

    /// A moment at which something begins.
    fn moment(&mut self) -> Duration {
        // Some events interact only if they are close together.
        let end = if self.rng.random_bool(0.5) { self.busy / 8 } else { self.busy };
        millis(self.rng.random_range(0..end.as_millis() as u64))
    }

    /// A moment at which a job begins: some begin after the last fault.
    fn beginning(&mut self) -> Duration {
        let (quiet, latest) = match self.theme {
            Theme::Rush => (0.6, 8_000),
            _ => (0.25, LATEST),
        };
        if self.rng.random_bool(quiet) {
            return self.busy + millis(self.rng.random_range(0..latest));
        }
        self.moment()
    }

    fn any_process(&mut self) -> usize {
        self.rng.random_range(0..self.processes)
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.rng.random_range(0..of.len())].clone()
    }
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
