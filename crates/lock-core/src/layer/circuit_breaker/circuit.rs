//! The states of a circuit and the steps between them, as pure functions of the time.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::config::BreakerConfig;
use super::state::{CircuitOpen, CircuitState};
use crate::{Error, ErrorKind, Operation};

/// A circuit: counts failures, opens, and lets probes pass.
#[derive(Debug)]
pub(super) struct Circuit {
    config: BreakerConfig,
    /// Number of times that it opened or closed; answers to commands of an earlier phase do not count.
    phase: u64,
    /// Number of probes; each has its own.
    probes: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The times of the failures within the window.
    Closed(VecDeque<Instant>),
    Open(Open),
}

#[derive(Debug)]
struct Open {
    since: Instant,
    pause: Duration,
    /// When the next probe may be sent.
    probe_at: Instant,
    /// The probe on its way, and when it was sent.
    probe: Option<(u64, Instant)>,
    cause: Error,
}

/// Permission to send one command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    pub(super) sent: Instant,
    phase: u64,
    probe: Option<u64>,
}

/// What became of a command that passed.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The store answered.
    Answered,
    /// The store was unavailable.
    Failed(Error),
    /// The caller gave the command up.
    Dropped(Operation),
}

impl Circuit {
    pub(super) const fn new(config: BreakerConfig) -> Self {
        Self { config, phase: 0, probes: 0, state: State::Closed(VecDeque::new()) }
    }

    /// Lets a command pass, or says why not. One that is vital always passes.
    pub(super) fn admit(&mut self, now: Instant, is_vital: bool) -> Result<Pass, CircuitOpen> {
        self.give_up_silent_probe(now);
        let mut pass = Pass { sent: now, phase: self.phase, probe: None };
        let State::Open(open) = &mut self.state else { return Ok(pass) };
        if is_vital {
            return Ok(pass);
        }
        if open.probe.is_some() || now < open.probe_at {
            return Err(open.seen(now));
        }
        self.probes += 1;
        open.probe = Some((self.probes, now));
        pass.probe = Some(self.probes);
        Ok(pass)
    }

    /// Takes in what became of a command; `true` if the circuit opened or closed.
    pub(super) fn settle(&mut self, now: Instant, pass: Pass, outcome: Outcome) -> bool {
        if pass.phase != self.phase {
            return false;
        }
        let outcome = match outcome {
            Outcome::Dropped(operation) if now - pass.sent >= self.config.silence.span() => {
                Outcome::Failed(silent(operation, now - pass.sent))
            }
            other => other,
        };
        match &mut self.state {
            State::Closed(failures) => {
                let Outcome::Failed(cause) = outcome else { return false };
                let window = self.config.window.span();
                failures.push_back(now);
                while failures.front().is_some_and(|failed| now - *failed >= window) {
                    failures.pop_front();
                }
                if failures.len() < usize::from(self.config.failures.get()) {
                    return false;
                }
                let pause = self.config.first_pause.span().min(self.config.longest_pause.span());
                let probe_at = now + pause;
                self.enter(State::Open(Open { since: now, pause, probe_at, probe: None, cause }));
                true
            }
            State::Open(open) => {
                let is_probe = open.probe.is_some_and(|(probe, _)| pass.probe == Some(probe));
                match outcome {
                    Outcome::Answered if pass.probe.is_some() => {
                        self.enter(State::Closed(VecDeque::new()));
                        return true;
                    }
                    // The store is back for renewals; a probe shows whether it is for the others.
                    Outcome::Answered => open.probe_at = now,
                    Outcome::Failed(cause) => {
                        open.cause = cause;
                        if is_probe {
                            open.pause_longer(now, self.config.longest_pause.span());
                        }
                    }
                    Outcome::Dropped(_) if is_probe => open.probe = None,
                    Outcome::Dropped(_) => {}
                }
                false
            }
        }
    }

    /// The state at the time `now`.
    pub(super) fn state(&self, now: Instant) -> CircuitState {
        match &self.state {
            State::Closed(_) => CircuitState::Closed,
            State::Open(open) if open.probe.is_some() || open.probe_at <= now => {
                CircuitState::HalfOpen(open.seen(now))
            }
            State::Open(open) => CircuitState::Open(open.seen(now)),
        }
    }

    fn enter(&mut self, state: State) {
        self.phase += 1;
        self.state = state;
    }

    /// Treats a probe that hangs as a failure, so that its caller's patience does not decide.
    fn give_up_silent_probe(&mut self, now: Instant) {
        let State::Open(open) = &mut self.state else { return };
        let Some((_, sent)) = open.probe else { return };
        if now - sent >= self.config.silence.span() {
            open.pause_longer(sent + self.config.silence.span(), self.config.longest_pause.span());
        }
    }
}

impl Open {
    /// Counts a probe as failed at the time `failed`.
    fn pause_longer(&mut self, failed: Instant, longest: Duration) {
        self.pause = (self.pause * 2).min(longest);
        self.probe_at = failed + self.pause;
        self.probe = None;
    }

    fn seen(&self, now: Instant) -> CircuitOpen {
        let next_probe_in = match self.probe {
            Some(_) => Duration::ZERO,
            None => self.probe_at.saturating_duration_since(now),
        };
        CircuitOpen { open_for: now - self.since, next_probe_in, cause: self.cause.clone() }
    }
}

fn silent(operation: Operation, waited: Duration) -> Error {
    let error = Error::new(ErrorKind::Unavailable, operation).unknown();
    error.with_source(format!("given up after {waited:?} without an answer"))
}
