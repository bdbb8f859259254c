//! The network between one process and the store: decides the fate of each message.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::plan::Trouble;

/// The network between one process and the store.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) slot: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    rng: StdRng,
    /// The longest time that a message takes one way while nothing is wrong.
    delay: Duration,
    /// Counts the connections: requests sent over an earlier one are not answered any more.
    connection: u64,
    is_down: bool,
    is_held: bool,
    is_dead: bool,
    troubles: Vec<(u64, Trouble)>,
    rebuilt: Option<Instant>,
}

/// The fate of a request and its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) connection: u64,
    pub(super) request_takes: Duration,
    pub(super) request_is_lost: bool,
    /// True if the request is delivered although its connection was cut meanwhile.
    pub(super) survives_cut: bool,
    /// The time of a second delivery of the request, before its answer.
    pub(super) repeated_after: Option<Duration>,
    pub(super) answer_takes: Duration,
    pub(super) answer_is_lost: bool,
}

/// The fate of a notice.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoticeFate {
    pub(super) connection: u64,
    pub(super) takes: Duration,
    pub(super) repeated_after: Option<Duration>,
}

/// The fate of a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sending {
    /// It goes on its way.
    Sent(Fate),
    /// It certainly does not happen.
    Refused,
    /// The sender is gone.
    Dead,
}

impl Link {
    /// A network without troubles; a message takes at most `delay` one way.
    pub(super) fn new(slot: usize, seed: u64, delay: Duration) -> Self {
        let state = State {
            rng: StdRng::seed_from_u64(seed),
            delay,
            connection: 0,
            is_down: false,
            is_held: false,
            is_dead: false,
            troubles: Vec::new(),
            rebuilt: None,
        };
        Self { slot, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Decides the fate of a request.
    pub(super) fn send(&self) -> Sending {
        let mut state = self.state();
        if state.is_dead {
            return Sending::Dead;
        }
        if state.is_down || state.has(Trouble::Refuses) {
            return Sending::Refused;
        }
        let (request_takes, answer_takes) = (state.one_way(), state.one_way());
        let is_repeated = state.chance(|trouble| match trouble {
            Trouble::RepeatsRequests(percent) => Some(percent),
            _ => None,
        });
        let repeated_after = state.one_way();
        let request_is_lost = state.chance(|trouble| match trouble {
            Trouble::LosesRequests(percent) => Some(percent),
            _ => None,
        });
        let answer_is_lost = state.chance(|trouble| match trouble {
            Trouble::LosesAnswers(percent) => Some(percent),
            _ => None,
        });
        Sending::Sent(Fate {
            connection: state.connection,
            request_takes,
            request_is_lost,
            survives_cut: state.rng.random(),
            repeated_after: is_repeated.then_some(repeated_after),
            answer_takes,
            answer_is_lost,
        })
    }

    /// Decides the fate of a notice; `None` if it is lost.
    pub(super) fn notify(&self) -> Option<NoticeFate> {
        let mut state = self.state();
        if state.is_dead || state.is_down || state.has(Trouble::LosesNotices) {
            return None;
        }
        let mut takes = state.one_way();
        let mut repeated_after = None;
        for (_, trouble) in state.troubles.clone() {
            match trouble {
                Trouble::DelaysNotices(longest) => takes += state.up_to(longest),
                Trouble::RepeatsNotices(longest) => repeated_after = Some(state.up_to(longest)),
                _ => {}
            }
        }
        Some(NoticeFate { connection: state.connection, takes, repeated_after })
    }

    /// Begins a trouble.
    pub(super) fn begin(&self, fault: u64, trouble: Trouble) {
        self.state().troubles.push((fault, trouble));
    }

    /// Ends a trouble.
    pub(super) fn end(&self, fault: u64) {
        self.state().troubles.retain(|(of, _)| *of != fault);
    }

    /// Cuts the connection.
    pub(super) fn cut(&self) {
        self.change(|state| {
            state.connection += 1;
            state.is_down = true;
        });
    }

    /// Rebuilds the connection.
    pub(super) fn rebuild(&self) {
        self.change(|state| {
            state.is_down = false;
            state.rebuilt = Some(Instant::now());
        });
    }

    /// Holds all messages in both directions, or releases those that were held.
    pub(super) fn hold(&self, is_held: bool) {
        self.change(|state| state.is_held = is_held);
    }

    /// Ends everything: the process is gone.
    pub(super) fn die(&self) {
        self.change(|state| {
            state.is_dead = true;
            state.is_held = false;
        });
    }

    /// Returns `true` if the process is gone.
    pub(super) fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// Returns `true` if this is still the current connection.
    pub(super) fn is_connection(&self, connection: u64) -> bool {
        self.state().connection == connection
    }

    /// Returns `true` if the connection was rebuilt less than `span` ago.
    pub(super) fn is_rebuilt_within(&self, span: Duration) -> bool {
        self.state().rebuilt.is_some_and(|rebuilt| rebuilt.elapsed() < span)
    }

    /// Waits while messages are held.
    pub(super) async fn until_free(&self) {
        self.until(|state| !state.is_held).await;
    }

    /// Waits until the connection is cut.
    pub(super) async fn until_cut(&self, connection: u64) {
        self.until(|state| state.connection != connection).await;
    }

    /// Waits until the process is gone.
    pub(super) async fn until_dead(&self) {
        self.until(|state| state.is_dead).await;
    }

    async fn until(&self, condition: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            if condition(&self.state()) {
                return;
            }
            changed.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has(&self, trouble: Trouble) -> bool {
        self.troubles.iter().any(|(_, it)| *it == trouble)
    }

    /// The delay of the next message.
    fn one_way(&mut self) -> Duration {
        let mut takes = self.up_to(self.delay);
        for (_, trouble) in self.troubles.clone() {
            if let Trouble::Slow(longest) = trouble {
                takes += self.up_to(longest);
            }
        }
        takes
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.rng.random_range(0..=micros))
    }

    /// Decides whether a trouble strikes, with the probability that `percent` gives.
    fn chance(&mut self, percent: impl Fn(Trouble) -> Option<u8>) -> bool {
        let worst = self.troubles.iter().filter_map(|(_, trouble)| percent(*trouble)).max();
        worst.is_some_and(|percent| self.rng.random_range(0..100) < percent)
    }
}
