//! Periodic commands for many entries, sent in batches.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::planted::{self, ManagerFault};
use crate::{Result, Timed};

/// The most names in one command: 10,000 take at most 100 commands.
pub(super) const BATCH: usize = 128;
/// Maximum number of names taken at one time, so that a large number does not delay others.
pub(super) const STEP: usize = 8 * BATCH;

/// Commands that are sent periodically in batches.
pub(super) trait Rounds: Send + Sync + 'static {
    type Request: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// Takes the entries due at `now`.
    fn plan(&self, now: Instant) -> Plan<Self::Request>;

    /// Sends one command.
    fn send(
        &self,
        requests: &[Self::Request],
    ) -> impl Future<Output = Vec<Result<Timed<Self::Answer>>>> + Send;

    /// Records the answers to a batch, one per request; `None` after a time-out.
    fn settle(&self, batch: &Batch<Self::Request>, answers: Answers<Self::Answer>);

    /// Wakes the task because an entry is due sooner than planned.
    fn sooner(&self) -> &Notify;

    /// Time after sending for which a late answer is still useful.
    fn latest(&self) -> Duration;
}

/// Commands due now, and the next wake-up.
#[derive(Debug)]
pub(super) struct Plan<R> {
    pub(super) batches: Vec<Batch<R>>,
    pub(super) next: Option<Instant>,
}

/// Requests for one command, which are sent again when no answer comes within `limit`.
#[derive(Debug)]
pub(super) struct Batch<R> {
    pub(super) requests: Vec<R>,
    pub(super) limit: Duration,
    /// Value of the hurry counter when the plan was made.
    pub(super) hurries: u64,
}

/// The answers to a batch.
#[derive(Debug)]
pub(super) struct Answers<A> {
    pub(super) sent: Instant,
    /// `true` if the batch is already being sent again.
    pub(super) are_late: bool,
    /// One for each request.
    pub(super) answers: Vec<Option<Result<Timed<A>>>>,
}

/// Sends due batches for ever. A slow answer delays only its own batch.
pub(super) async fn keep<R: Rounds>(rounds: Arc<R>) {
    let mut under_way: JoinSet<Option<Answers<R::Answer>>> = JoinSet::new();
    let mut batches: HashMap<Id, Arc<Batch<R::Request>>> = HashMap::new();
    loop {
        let now = Instant::now();
        let plan = rounds.plan(now);
        for batch in plan.batches {
            let batch = Arc::new(batch);
            let task = under_way.spawn(send(Arc::clone(&rounds), Arc::clone(&batch)));
            batches.insert(task.id(), batch);
        }
        let next = async {
            match plan.next {
                // A step was full: others get their turn between two steps.
                Some(next) if next <= now => tokio::task::yield_now().await,
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(joined) = under_way.join_next_with_id() => {
                let (task, answers) = match joined {
                    Ok(joined) => joined,
                    Err(error) => {
                        tracing::error!(%error, "the store panicked");
                        let task = error.id();
                        let count = batches.get(&task).map_or(0, |batch| batch.requests.len());
                        (task, Some(unanswered(now, count)))
                    }
                };
                if let (Some(batch), Some(answers)) = (batches.remove(&task), answers) {
                    rounds.settle(&batch, answers);
                }
            }
            () = rounds.sooner().notified() => {}
            () = next => {}
        }
    }
}

/// Sends a batch, and waits for its answers; none when they came neither in time nor late.
async fn send<R: Rounds>(
    rounds: Arc<R>,
    batch: Arc<Batch<R::Request>>,
) -> Option<Answers<R::Answer>> {
    let sent = Instant::now();
    let count = batch.requests.len();
    let mut call = pin!(rounds.send(&batch.requests));
    let latest = rounds.latest();
    let (are_late, answers) = match timeout(batch.limit, &mut call).await {
        Ok(answers) => (false, answers),
        Err(_) if batch.limit >= latest || planted::has(ManagerFault::IgnoresLateAnswers) => {
            (false, Vec::new())
        }
        Err(_) => {
            // It is sent again, and what was sent first may still be answered.
            rounds.settle(&batch, unanswered(sent, count));
            rounds.sooner().notify_one();
            (true, timeout_at(sent + latest, call).await.ok()?)
        }
    };
    if answers.len() != count {
        tracing::warn!(count, "the store did not answer a batch");
    }
    let mut answers: Vec<_> = answers.into_iter().map(Some).collect();
    answers.resize_with(count, || None);
    let sent = if planted::has(ManagerFault::CountsFromArrival) { Instant::now() } else { sent };
    Some(Answers { sent, are_late, answers })
}

fn unanswered<A>(sent: Instant, count: usize) -> Answers<A> {
    let answers = std::iter::repeat_with(|| None).take(count).collect();
    Answers { sent, are_late: false, answers }
}

/// Puts requests together that can wait about as long for their answer, the most urgent first.
pub(super) fn batches<R>(mut due: Vec<(Duration, R)>, hurries: u64) -> Vec<Batch<R>> {
    due.sort_by_key(|(limit, _)| *limit);
    let mut batches: Vec<Batch<R>> = Vec::new();
    for (limit, request) in due {
        match batches.last_mut() {
            Some(batch) if batch.requests.len() < BATCH && limit <= batch.limit * 2 => {
                batch.requests.push(request);
            }
            _ => batches.push(Batch { requests: vec![request], limit, hurries }),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(millis: u64, count: usize) -> Vec<(Duration, ())> {
        vec![(Duration::from_millis(millis), ()); count]
    }

    fn shape(due: Vec<(Duration, ())>) -> Vec<(u64, usize)> {
        let shape = |batch: Batch<()>| (batch.limit.as_millis() as u64, batch.requests.len());
        batches(due, 0).into_iter().map(shape).collect()
    }

    #[test]
    fn urgent_requests_have_batches_of_their_own() {
        let mixed = [due(1500, 2), due(5, 3), due(1000, 1), due(9, 1)].concat();
        assert_eq!(shape(mixed), [(5, 4), (1000, 3)]);
    }

    #[test]
    fn batches_are_full_and_no_fuller() {
        assert_eq!(shape(due(1000, 2 * BATCH + 1)), [(1000, BATCH), (1000, BATCH), (1000, 1)]);
        assert_eq!(shape(Vec::new()), []);
    }
}
