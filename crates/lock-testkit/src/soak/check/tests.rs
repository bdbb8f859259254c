//! Histories with one planted fault each, and the same ones without it.

use super::*;
use crate::soak::history::{Disturbance, Terms, Worker};
use crate::soak::record::{Event, Record};

const MS: Moment = millis(1);

/// A history in which moments are milliseconds.
struct Recording {
    workers: Vec<Vec<Record>>,
    history: History,
}

impl Recording {
    fn new(workers: usize) -> Self {
        let history = History {
            terms: Terms { ttl: 1_000 * MS, keep_alive: 900 * MS },
            workers: Vec::new(),
            disturbances: Vec::new(),
            wipes: Vec::new(),
            silences: Vec::new(),
            leftovers: Vec::new(),
            failures: Vec::new(),
        };
        Self { workers: vec![Vec::new(); workers], history }
    }

    fn note(&mut self, at: u64, worker: usize, request: u64, event: Event) -> &mut Self {
        self.workers[worker].push(Record { at: at * MS, request, event });
        self
    }

    fn asks(&mut self, at: u64, worker: usize, request: u64, head_start: u64) -> &mut Self {
        self.note(at, worker, request, Event::Asked { key: 0, permits: 0, head_start });
        self.note(at, worker, request, Event::Sent)
    }

    fn queues(&mut self, at: u64, worker: usize, request: u64) -> &mut Self {
        // A worker looks at the clock before it notes that it sends.
        self.note(at, worker, request, Event::Queued { sent: (at - 3) * MS })
    }

    fn holds(&mut self, from: u64, to: u64, worker: usize, request: u64, token: u64) -> &mut Self {
        let until = (from + 1_000) * MS;
        self.note(from, worker, request, Event::Granted { token, until });
        self.note(to, worker, request, Event::Over);
        self.note(to + 1, worker, request, Event::Gone)
    }

    fn broken(&mut self) -> Vec<Broken> {
        self.broken_when_killed(&[])
    }

    fn broken_when_killed(&mut self, killed: &[(usize, u64)]) -> Vec<Broken> {
        let of = |worker| killed.iter().find(|it| it.0 == worker).map(|it| it.1 * MS);
        let workers = self.workers.iter().enumerate();
        self.history.workers =
            workers.map(|(number, records)| Worker::new(records.clone(), of(number))).collect();
        check(&self.history).findings.iter().map(|finding| finding.broken).collect()
    }
}

/// Two workers that take turns: 1 holds, 2 waits and is handed the key.
fn turns() -> Recording {
    let mut recording = Recording::new(2);
    recording.asks(0, 0, 1, 0).asks(5, 1, 2, 0).queues(7, 1, 2);
    recording.holds(2, 50, 0, 1, 10).holds(53, 80, 1, 2, 11);
    recording
}

#[test]
fn turns_break_nothing() {
    let mut recording = turns();
    assert_eq!(recording.broken(), []);
    let verdict = check(&recording.history);
    assert_eq!((verdict.times_free, verdict.longest_stall), (1, 2 * MS));
}

#[test]
fn planted_overlap_is_found() {
    let mut recording = Recording::new(2);
    recording.asks(0, 0, 1, 0).asks(5, 1, 2, 0).queues(7, 1, 2);
    recording.holds(2, 50, 0, 1, 10).holds(49, 80, 1, 2, 11);
    assert_eq!(recording.broken(), [Broken::Overlap]);
    // A store that lost its data may grant twice.
    recording.history.wipes.push(30 * MS);
    assert_eq!(recording.broken(), []);
}

#[test]
fn holder_that_was_stopped_believes_no_longer_than_its_guard_vouches() {
    let mut recording = Recording::new(2);
    recording.asks(0, 0, 1, 0).asks(5, 1, 2, 0).queues(7, 1, 2);
    recording.holds(2, 3_000, 0, 1, 10).holds(1_100, 1_200, 1, 2, 11);
    assert_eq!(recording.broken(), []);
    recording.note(900, 0, 1, Event::Holds { until: 1_900 * MS });
    assert_eq!(recording.broken(), [Broken::Overlap]);
}

#[test]
fn killed_holder_believes_nothing() {
    let mut recording = Recording::new(2);
    recording.asks(0, 0, 1, 0).asks(5, 1, 2, 0).queues(7, 1, 2);
    recording.note(2, 0, 1, Event::Granted { token: 10, until: 1_002 * MS });
    recording.holds(500, 600, 1, 2, 11);
    assert_eq!(recording.broken_when_killed(&[(0, 400)]), []);
    assert_eq!(recording.broken_when_killed(&[(0, 700)]), [Broken::Overlap]);
}

#[test]
fn shared_leases_overlap_up_to_their_permits() {
    let mut recording = Recording::new(1);
    for request in 1..=3 {
        let event = Event::Asked { key: 0, permits: 2, head_start: 0 };
        recording.note(request, 0, request, event).note(request, 0, request, Event::Sent);
    }
    recording.holds(10, 50, 0, 1, 10).holds(11, 60, 0, 2, 11).holds(52, 70, 0, 3, 12);
    assert_eq!(recording.broken(), []);
    recording.asks(55, 0, 4, 0).holds(58, 65, 0, 4, 13);
    assert_eq!(recording.broken(), [Broken::Overlap]);
}

#[test]
fn planted_token_regress_is_found() {
    let mut recording = Recording::new(2);
    recording.asks(0, 0, 1, 0).holds(2, 50, 0, 1, 11);
    recording.asks(60, 1, 2, 0).holds(63, 80, 1, 2, 10);
    assert_eq!(recording.broken(), [Broken::TokenOrder], "2 was asked when 1 had its guard");
    let mut recording = Recording::new(2);
    recording.asks(0, 0, 1, 0).asks(1, 1, 2, 0).queues(4, 1, 2);
    recording.holds(2, 50, 0, 1, 11).holds(53, 80, 1, 2, 10);
    assert_eq!(recording.broken(), [Broken::TokenOrder], "1 had its guard first");
    let mut recording = Recording::new(2);
    recording.asks(0, 0, 1, 0).asks(5, 1, 2, 0).queues(7, 1, 2);
    recording.holds(2, 50, 0, 1, 11).holds(53, 80, 1, 2, 11);
    assert_eq!(recording.broken(), [Broken::TokenOrder]);
}

#[test]
fn planted_overtaking_is_found() {
    // 3 comes 30 ms after 2 and has a head start.
    let recording = |head_start| {
        let mut recording = Recording::new(2);
        recording.asks(0, 0, 1, 0).asks(5, 1, 2, 0).queues(7, 1, 2);
        recording.asks(37, 0, 3, head_start).queues(39, 0, 3);
        recording.holds(2, 50, 0, 1, 10).holds(53, 60, 0, 3, 11).holds(62, 80, 1, 2, 12);
        recording
    };
    assert_eq!(recording(50).broken(), []);
    assert_eq!(recording(5).broken(), [Broken::Overtaking]);
}

#[test]
fn planted_overtaking_of_one_that_is_never_granted_is_found() {
    let mut recording = Recording::new(2);
    recording.asks(0, 0, 1, 0).asks(5, 1, 2, 0).queues(7, 1, 2).asks(37, 0, 3, 0).queues(39, 0, 3);
    recording.holds(2, 50, 0, 1, 10).holds(53, 60, 0, 3, 11).queues(62, 1, 2);
    recording.note(64, 1, 2, Event::GaveUp).note(65, 1, 2, Event::Gone);
    assert_eq!(recording.broken(), [Broken::Overtaking]);
}

#[test]
fn waiter_that_lost_its_place_may_be_overtaken() {
    let mut recording = Recording::new(2);
    recording.asks(0, 0, 1, 0).asks(5, 1, 2, 0).queues(7, 1, 2).asks(37, 0, 3, 0).queues(39, 0, 3);
    recording.note(40, 1, 2, Event::Absent).note(41, 1, 2, Event::Sent).queues(43, 1, 2);
    recording.holds(2, 50, 0, 1, 10).holds(53, 60, 0, 3, 11).holds(62, 80, 1, 2, 12);
    assert_eq!(recording.broken(), []);
}

/// 1 gives the key back at 51 ms, and 2 has it this much later.
fn late_handoff(after: u64) -> Recording {
    let mut recording = Recording::new(2);
    recording.asks(0, 0, 1, 0).asks(5, 1, 2, 0).queues(7, 1, 2);
    recording.holds(2, 50, 0, 1, 10).holds(51 + after, 400, 1, 2, 11);
    recording
}

#[test]
fn planted_stall_is_found() {
    assert_eq!(late_handoff(100).broken(), []);
    assert_eq!(late_handoff(102).broken(), [Broken::Stall]);
}

#[test]
fn time_while_the_store_is_silent_or_the_waiter_does_not_run_is_no_stall() {
    let mut recording = late_handoff(150);
    recording.history.silences.push((60 * MS, 130 * MS));
    assert_eq!(recording.broken(), []);
    let mut recording = late_handoff(150);
    recording.note(140, 1, 0, Event::Late { since: 60 * MS });
    assert_eq!(recording.broken(), []);
    let mut recording = late_handoff(150);
    recording.note(140, 0, 0, Event::Late { since: 60 * MS });
    assert_eq!(recording.broken(), [Broken::Stall], "somebody else did not run");
}

#[test]
fn stall_of_a_disturbed_waiter_counts_from_its_next_answer() {
    // 2 is disturbed until 200 ms, and may be deaf for a while after that.
    let disturbed = |heard: u64, settling: u64| {
        let mut recording = Recording::new(2);
        recording.asks(0, 0, 1, 0).asks(5, 1, 2, 0).queues(7, 1, 2).queues(heard, 1, 2);
        recording.holds(2, 50, 0, 1, 10).holds(700, 800, 1, 2, 11);
        let (from, until, settling) = (40 * MS, 200 * MS, settling * MS);
        recording.history.disturbances.push(Disturbance { worker: Some(1), from, until, settling });
        recording.broken()
    };
    assert_eq!(disturbed(620, 1), []);
    assert_eq!(disturbed(590, 1), [Broken::Stall]);
    // A heartbeat takes 300 ms.
    assert_eq!(disturbed(310, 1_000), []);
    assert_eq!(disturbed(290, 1_000), [Broken::Stall]);
}

#[test]
fn key_of_the_dead_is_not_free_until_they_have_lapsed() {
    let killed = |granted: u64| {
        let mut recording = Recording::new(2);
        recording.asks(0, 0, 1, 0).asks(5, 1, 2, 0).queues(7, 1, 2);
        recording.note(2, 0, 1, Event::Granted { token: 10, until: 900 * MS });
        recording.holds(granted, granted + 10, 1, 2, 11).broken_when_killed(&[(0, 20)])
    };
    assert_eq!(killed(1_800), []);
    assert_eq!(killed(3_500), [Broken::Stall]);
}

#[test]
fn planted_leftover_is_found() {
    let mut recording = turns();
    recording.history.leftovers.push("a key".to_owned());
    assert_eq!(recording.broken(), [Broken::Leftover]);
}

#[test]
fn failed_worker_is_found() {
    let mut recording = turns();
    recording.history.failures.push("worker 1: exit code 101".to_owned());
    assert_eq!(recording.broken(), [Broken::Failure]);
}
