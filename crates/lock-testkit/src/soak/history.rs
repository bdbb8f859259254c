//! The history of a round: the workers' records and the faults.

use std::collections::HashMap;

use super::clock::{Moment, millis};
use super::record::{Event, Record};

/// The least time in which a process works off its backlog after a time in which it did not run.
const CATCHING_UP: Moment = millis(10);

/// The lifetimes of leases and waiters that nobody looks after, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) ttl: Moment,
    pub(super) keep_alive: Moment,
}

impl Terms {
    /// The interval between hears of a waiter.
    pub(super) const fn heartbeat(self) -> Moment {
        self.keep_alive / 3
    }

    /// The longest time for which the requests of a silent process may block others: a lease of
    /// full length, or a queue position and then a claim window.
    pub(super) const fn bequest(self) -> Moment {
        let window = 2 * self.keep_alive;
        if self.ttl > window { self.ttl } else { window }
    }
}

/// A process, and its records in order.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) records: Vec<Record>,
    /// The time at which it was killed.
    pub(super) killed: Option<Moment>,
    /// The times in which it did not run, because the machine was busy, or worked off a backlog.
    late: Vec<(Moment, Moment)>,
}

impl Worker {
    pub(super) fn new(records: Vec<Record>, killed: Option<Moment>) -> Self {
        let late = records.iter().filter_map(|record| match record.event {
            Event::Late { since } => {
                Some((since, record.at + (record.at - since) / 2 + CATCHING_UP))
            }
            _ => None,
        });
        Self { late: late.collect(), records, killed }
    }

    /// The times after this moment in which it did not run.
    pub(super) fn late_after(&self, moment: Moment) -> &[(Moment, Moment)] {
        &self.late[self.late.partition_point(|span| span.1 < moment)..]
    }
}

/// A time in which a worker, or all of them, could not do as they should.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disturbance {
    /// The worker; `None` means all.
    pub(super) worker: Option<usize>,
    pub(super) from: Moment,
    /// The end, and the time that the worker may take until notices reach it again.
    pub(super) until: Moment,
    pub(super) settling: Moment,
}

/// All that is known of a round.
#[derive(Debug)]
pub(super) struct History {
    pub(super) terms: Terms,
    pub(super) workers: Vec<Worker>,
    pub(super) disturbances: Vec<Disturbance>,
    /// The times at which the store lost its data.
    pub(super) wipes: Vec<Moment>,
    /// The times in which the store did not answer the observer, or the observer did not run.
    pub(super) silences: Vec<(Moment, Moment)>,
    /// The leftovers in the store at the end.
    pub(super) leftovers: Vec<String>,
    /// Workers that failed by themselves.
    pub(super) failures: Vec<String>,
}

/// One request, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) worker: usize,
    pub(super) key: u8,
    pub(super) permits: u32,
    pub(super) head_start: Moment,
    pub(super) asked: Moment,
    /// The times at which acquires were sent.
    pub(super) sent: Vec<Moment>,
    /// Answers "queued": the times of the command and of its answer.
    pub(super) queued: Vec<(Moment, Moment)>,
    pub(super) absent: Vec<Moment>,
    pub(super) granted: Option<Grant>,
    /// The time at which the task gave up waiting.
    pub(super) gave_up: Option<Moment>,
    /// The time from which the store had nothing of it any more.
    pub(super) gone: Option<Moment>,
    /// The time at which its process was killed.
    pub(super) killed: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) token: u64,
    pub(super) at: Moment,
    /// The deadlines of the guard, and the end of the task's belief.
    pub(super) until: Moment,
    pub(super) over: Option<Moment>,
}

impl Request {
    /// The time in which its task believed that it holds the key.
    pub(super) fn belief(&self) -> Option<(Moment, Moment)> {
        let grant = self.granted?;
        let ends = [grant.over, self.killed, Some(grant.until)];
        Some((grant.at, ends.into_iter().flatten().min()?))
    }

    /// The last known moment at which it did not yet hold in the store.
    pub(super) fn not_before(&self) -> Moment {
        self.queued.last().map_or(self.asked, |(sent, _)| *sent)
    }
}

impl History {
    /// The requests in the order in which they were asked.
    pub(super) fn requests(&self) -> Vec<Request> {
        let mut all = Vec::new();
        for (number, worker) in self.workers.iter().enumerate() {
            let mut requests = HashMap::new();
            for record in &worker.records {
                if let Event::Asked { key, permits, head_start } = record.event {
                    let request = Request {
                        id: record.request,
                        worker: number,
                        key,
                        permits,
                        head_start: head_start * 1_000,
                        asked: record.at,
                        sent: Vec::new(),
                        queued: Vec::new(),
                        absent: Vec::new(),
                        granted: None,
                        gave_up: None,
                        gone: None,
                        killed: worker.killed,
                    };
                    requests.insert(record.request, request);
                } else if let Some(request) = requests.get_mut(&record.request) {
                    request.note(record);
                }
            }
            all.extend(requests.into_values());
        }
        all.sort_unstable_by_key(|request| (request.asked, request.id));
        all
    }
}

impl Request {
    fn note(&mut self, &Record { at, event, .. }: &Record) {
        match (event, &mut self.granted) {
            (Event::Sent, _) => self.sent.push(at),
            (Event::Queued { sent }, _) => self.queued.push((sent, at)),
            (Event::Absent, _) => self.absent.push(at),
            (Event::Granted { token, until }, granted) => {
                *granted = Some(Grant { token, at, until, over: None });
            }
            (Event::Holds { until }, Some(grant)) => grant.until = grant.until.max(until),
            (Event::Over, Some(grant)) => grant.over = Some(at),
            (Event::GaveUp, _) => self.gave_up = Some(at),
            (Event::Gone, _) => self.gone = Some(at),
            (Event::Holds { .. } | Event::Over, None)
            | (Event::Asked { .. } | Event::Late { .. }, _) => {}
        }
    }
}
