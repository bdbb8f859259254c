//! The plan of a round, drawn from a seed.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::clock::Moment;
use super::history::Terms;
use super::target::Trouble;

/// The time for which the workers of a round work.
const SPAN: Duration = Duration::from_secs(8);
/// The time without faults at the beginning and the end of a round.
const CALM: Duration = Duration::from_millis(1_200);

/// A fault of the workers or of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// A process is killed, and another takes its place.
    Kill,
    /// A process is stopped for a while, as if its machine hung.
    Stop,
    /// A trouble of the store, or of the way to it.
    Trouble(Trouble),
}

/// A fault: the delay after the one before it, the slot and the duration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blow {
    pub(super) after: Duration,
    pub(super) fault: Fault,
    pub(super) slot: usize,
    pub(super) span: Duration,
}

/// A round: a store of its own, some processes, and the faults.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) processes: usize,
    pub(super) tasks: usize,
    pub(super) keys: u8,
    pub(super) terms: Terms,
    /// The head start of one level of priority, in milliseconds.
    pub(super) step: u64,
    /// True if the store keeps its data over a restart.
    pub(super) is_durable: bool,
    pub(super) span: Duration,
    pub(super) blows: Vec<Blow>,
    /// True if the workers lose notices that arrive too early: the planted fault.
    pub(super) is_planted: bool,
}

impl Plan {
    /// The round of this seed, on a store that can bring these troubles.
    pub(super) fn of(seed: u64, troubles: &[Trouble], size: Option<(usize, usize)>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let processes = rng.random_range(2..=8);
        let processes = size.map_or(processes, |(processes, _)| processes);
        let millis = |rng: &mut StdRng, from: u64, to| rng.random_range(from..=to) * 1_000;
        let mut plan = Self {
            seed,
            processes,
            // One in three rounds has few contenders: only there a lost wake-up shows.
            tasks: if rng.random_bool(0.33) { 1 } else { rng.random_range(1..=20) },
            keys: rng.random_range(1..=5),
            terms: Terms {
                ttl: millis(&mut rng, 1_200, 3_000),
                keep_alive: millis(&mut rng, 1_200, 2_000),
            },
            step: rng.random_range(0..=300),
            is_durable: rng.random_bool(0.5),
            span: SPAN,
            blows: Vec::new(),
            is_planted: false,
        };
        plan.tasks = size.map_or(plan.tasks, |(_, tasks)| tasks);
        let mut left = SPAN.saturating_sub(CALM);
        let mut after = CALM;
        loop {
            let blow = blow(&mut rng, after, processes, troubles);
            let Some(rest) = left.checked_sub(blow.after + blow.span) else { return plan };
            plan.blows.push(blow);
            left = rest;
            after = Duration::from_millis(rng.random_range(100..=1_500));
        }
    }

    /// A short round without faults, whose workers lose notices that arrive too early.
    pub(super) fn planted(seed: u64) -> Self {
        let calm = Self::of(seed, &[], None);
        let span = Duration::from_secs(2);
        Self { blows: Vec::new(), keys: 1, tasks: 1, span, is_planted: true, ..calm }
    }

    /// The count of each fault.
    pub(super) fn faults(&self) -> String {
        let mut faults: Vec<_> = self.blows.iter().map(|blow| blow.fault).collect();
        faults.sort_unstable();
        let chunks = faults.chunk_by(PartialEq::eq);
        let counts: Vec<_> = chunks.map(|it| format!("{} {}", it.len(), it[0])).collect();
        if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
    }
}

fn blow(rng: &mut StdRng, after: Duration, processes: usize, troubles: &[Trouble]) -> Blow {
    let fault = match rng.random_range(0..4) {
        0 => Fault::Kill,
        1 => Fault::Stop,
        _ if troubles.is_empty() => Fault::Stop,
        _ => Fault::Trouble(troubles[rng.random_range(0..troubles.len())]),
    };
    let longest = if fault == Fault::Stop { 3_000 } else { 1_200 };
    let span = match fault {
        Fault::Kill => 0,
        Fault::Trouble(trouble) if trouble.is_instant() => 0,
        Fault::Stop | Fault::Trouble(_) => rng.random_range(50..=longest),
    };
    Blow { after, fault, slot: rng.random_range(0..processes), span: Duration::from_millis(span) }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => f.write_str("kill"),
            Self::Stop => f.write_str("stop"),
            Self::Trouble(trouble) => trouble.fmt(f),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processes, tasks, keys, terms, step, .. } = self;
        let span = |micros: Moment| micros / 1_000;
        write!(
            f,
            "{processes} processes x {tasks} tasks on {keys} keys, ttl {} ms, keep-alive {} ms, \
             step {step} ms, {}; faults: {}",
            span(terms.ttl),
            span(terms.keep_alive),
            if self.is_durable { "durable" } else { "in memory" },
            self.faults(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_draw_every_fault_within_the_time() {
        let mut faults = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let plan = Plan::of(seed, &Trouble::OF_SERVERS, None);
            assert!((2..=8).contains(&plan.processes) && (1..=20).contains(&plan.tasks));
            assert!((1..=5).contains(&plan.keys) && !plan.blows.is_empty());
            let took: Duration = plan.blows.iter().map(|blow| blow.after + blow.span).sum();
            assert!(took <= SPAN, "{took:?}");
            faults.extend(plan.blows.iter().map(|blow| blow.fault));
        }
        assert_eq!(faults.len(), 2 + Trouble::OF_SERVERS.len());
    }
}
