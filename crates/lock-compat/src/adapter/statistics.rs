//! Statistics of queues: what a listing knows, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use lock_core::HeadStart;

use super::project_queue::{ProjectQueue, Queues};

/// Counts and times of some queues, at the time at which they were read.
///
/// A store keeps no history. Totals of attempts and failures, and times of waits that are over, are
/// metrics of the managers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStatistics {
    /// Number of projects.
    pub projects: u64,
    /// Number of locks that are held.
    pub held: u64,
    /// Number of locks that a waiter was granted and has not yet claimed.
    pub unclaimed: u64,
    /// Number of requests that wait.
    pub waiting: u64,
    /// Number of requests that wait, by their head starts.
    pub by_head_start: BTreeMap<HeadStart, u64>,
    /// Time that the waiters have waited; `None` if nobody waits.
    pub waited: Option<Spans>,
    /// Time for which the locks have been held; `None` if none is.
    pub held_for: Option<Spans>,
}

/// The longest and the mean of some times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spans {
    /// The longest.
    pub longest: Duration,
    /// The arithmetic mean, to the nanosecond below.
    pub mean: Duration,
}

impl Queues {
    /// Statistics of all the queues.
    #[must_use]
    pub fn statistics(&self) -> QueueStatistics {
        statistics(&self.queues)
    }
}

impl ProjectQueue {
    /// Statistics of this queue.
    #[must_use]
    pub fn statistics(&self) -> QueueStatistics {
        statistics(std::slice::from_ref(self))
    }
}

fn statistics(queues: &[ProjectQueue]) -> QueueStatistics {
    let holders = || queues.iter().filter_map(|queue| queue.holder.as_ref());
    let waiters = || queues.iter().flat_map(|queue| &queue.waiters);
    let unclaimed = holders().filter(|holder| holder.is_unclaimed).count();
    let mut by_head_start = BTreeMap::new();
    for waiter in waiters() {
        *by_head_start.entry(waiter.head_start).or_default() += 1;
    }
    QueueStatistics {
        projects: queues.len() as u64,
        held: (holders().count() - unclaimed) as u64,
        unclaimed: unclaimed as u64,
        waiting: waiters().count() as u64,
        by_head_start,
        waited: spans(waiters().map(|waiter| waiter.waited)),
        held_for: spans(holders().map(|holder| holder.held)),
    }
}

fn spans(spans: impl Iterator<Item = Duration>) -> Option<Spans> {
    let (mut count, mut sum, mut longest) = (0, 0, Duration::ZERO);
    for span in spans {
        count += 1;
        sum += span.as_nanos();
        longest = longest.max(span);
    }
    let mean: u128 = sum.checked_div(count)?;
    // The mean is at most the longest.
    let mean = Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX)).min(longest);
    Some(Spans { longest, mean })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(seconds: &[u64]) -> Option<(u64, u64)> {
        let spans = spans(seconds.iter().map(|&it| Duration::from_secs(it)))?;
        Some((spans.longest.as_secs(), spans.mean.as_secs()))
    }

    /// The system that was to replace Atlantis' locking computed `(mean + next) / 2`, by which the
    /// last time counted as much as all before.
    #[test]
    fn mean_counts_every_wait_alike() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[7]), Some((7, 7)));
        assert_eq!(mean(&[10, 10, 10, 50]), Some((50, 20)));
        assert_eq!(mean(&[50, 10, 10, 10]), Some((50, 20)));
        let longest = Duration::MAX;
        let spans = spans([longest; 3].into_iter()).unwrap();
        assert!(spans.mean <= spans.longest);
    }
}
