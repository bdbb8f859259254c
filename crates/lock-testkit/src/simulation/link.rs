//! The network between one process and the store: what becomes of each message.

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
    /// Counts the connections: what was sent over an earlier one is not answered any more.
    connection: u64,
    is_down: bool,
    is_held: bool,
    is_dead: bool,
    troubles: Vec<(u64, Trouble)>,
    rebuilt: Option<Instant>,
}

/// What becomes of a request and its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) connection: u64,
    pub(super) request_takes: Duration,
    pub(super) request_is_lost: bool,
    /// Whether the request is delivered although its connection was cut on the way.
    pub(super) survives_cut: bool,
    /// When the request is delivered a second time, before its answer is.
    pub(super) repeated_after: Option<Duration>,
    pub(super) answer_takes: Duration,
    pub(super) answer_is_lost: bool,
}

/// What becomes of a notice.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoticeFate {
    pub(super) connection: u64,
    pub(super) takes: Duration,
    pub(super) repeated_after: Option<Duration>,
}

/// What becomes of a message that is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sending {
    /// It goes on its way.
    Sent(Fate),
    /// It certainly does not happen.
    Refused,
    /// Nobody is there any more to send it.
    Dead,
}

impl Link {
    /// A network in order; a message takes at most `delay` one way.
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

    /// Decides what becomes of a request.
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

    /// Decides what becomes of a notice; `None` when it is lost.
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

    /// Lets something go wrong from now on.
    pub(super) fn begin(&self, fault: u64, trouble: Trouble) {
        self.state().troubles.push((fault, trouble));
    }

    /// Sets it right again.
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

    /// Builds a connection again.
    pub(super) fn rebuild(&self) {
        self.change(|state| {
            state.is_down = false;
            state.rebuilt = Some(Instant::now());
        });
    }

    /// Holds all messages both ways, or lets all go on that were held.
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

    /// Whether the process is gone.
    pub(super) fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// Whether this is still the connection.
    pub(super) fn is_connection(&self, connection: u64) -> bool {
        self.state().connection == connection
    }

    /// Whether the connection was rebuilt less than `span` ago.
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

    /// How long the next message takes.
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

    /// Whether a trouble strikes, with the chance that `percent` tells.
    fn chance(&mut self, percent: impl Fn(Trouble) -> Option<u8>) -> bool {
        let worst = self.troubles.iter().filter_map(|(_, trouble)| percent(*trouble)).max();
        worst.is_some_and(|percent| self.rng.random_range(0..100) < percent)
    }
}
