//! Waiting for a key, with a line that says for whom.

use std::io::{IsTerminal, stderr};
use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use lock_core::{Acquire, Inspection, LockKey, LockManager, LockSet, SessionId, Wait};
use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::family::is_within;
use super::signals::Signals;
use crate::cli::{AcquireArgs, IfHeld};
use crate::exit::{Exit, Failure};
use crate::look::in_the_way;
use crate::output::Output;

/// Time between two lines on a terminal, and elsewhere.
const LIVE: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(30);
/// Time after which the wait is reported.
const SOON: Duration = Duration::from_millis(300);

/// The outcome of a request.
pub(crate) enum Turn {
    Acquired(LockSet),
    Skipped,
    /// A signal asked this process to end; the place in the queue is given back.
    Interrupted(Signal),
}

/// Acquires keys as the arguments tell.
pub(crate) async fn acquire(
    manager: &LockManager,
    keys: &[LockKey],
    args: &AcquireArgs,
    if_held: IfHeld,
    signals: &mut Signals,
    output: Output,
) -> Result<Turn, Failure> {
    let session = match args.session {
        Some(session) => manager.session_of(session),
        None => manager.session(),
    };
    let asks = keys.iter().map(|key| with_terms(manager.acquire(key.clone()), args));
    let mut asks = session.acquire_all(asks);
    let wait = if if_held == IfHeld::Skip { Some(Duration::ZERO) } else { args.wait };
    if let Some(wait) = wait {
        asks = asks.wait(wait);
    }
    let mut granted = pin!(asks.into_future());
    let mut line = Line::new(output);
    // Beside the request, so that a store that stalls delays neither the turn nor a signal.
    let mut telling = pin!(line.tell(manager, keys, session.id()));
    tokio::select! {
        biased;
        signal = signals.next_to_end() => Ok(Turn::Interrupted(signal)),
        set = &mut granted => match set {
            Ok(set) => Ok(Turn::Acquired(set)),
            Err(error) if if_held == IfHeld::Skip && error.position().is_some() => {
                output.warn(&format!("skipped: {error}"));
                Ok(Turn::Skipped)
            }
            Err(error) => Err(error.into()),
        },
        failure = &mut telling => Err(failure),
    }
}

fn with_terms(asks: Acquire<Wait>, args: &AcquireArgs) -> Acquire<Wait> {
    let asks = asks.ttl(args.ttl);
    let asks = match args.priority {
        Some(priority) => asks.priority(priority),
        None => asks,
    };
    match args.permits {
        Some(permits) => asks.permits(permits),
        None if args.shared => asks.shared(),
        None => asks,
    }
}

/// The line of a waiter: alive on a terminal, and one now and then elsewhere.
struct Line {
    bar: Option<ProgressBar>,
    output: Output,
    complaint: Option<String>,
}

impl Line {
    fn new(output: Output) -> Self {
        let is_live = stderr().is_terminal() && !output.is_json;
        let bar = is_live.then(|| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self { bar, output, complaint: None }
    }

    /// Tells for whom the session waits, until it is dropped or the wait is found to be for itself.
    async fn tell(
        &mut self,
        manager: &LockManager,
        keys: &[LockKey],
        session: SessionId,
    ) -> Failure {
        let mut pause = SOON;
        loop {
            sleep(pause).await;
            for key in keys {
                match manager.inspect(key.clone()).await {
                    Ok(seen) if is_held_around(&seen.value) => {
                        let message = format!(
                            "`{key}` is held by a run around this one, which waits for this one to end"
                        );
                        return Failure::new(Exit::Usage, message);
                    }
                    // It may hold some of the keys already.
                    Ok(seen) if is_in_the_way(&seen.value, session) => {
                        self.show(&in_the_way(&seen, Some(session)));
                        break;
                    }
                    Ok(_) => {}
                    // With its causes, which name what to do.
                    Err(error) => self.complain(format!("{error:?}")),
                }
            }
            pause = if self.bar.is_some() { LIVE } else { SELDOM };
        }
    }

    fn show(&mut self, said: &str) {
        self.complaint = None;
        match &self.bar {
            Some(bar) => {
                bar.set_message(said.to_owned());
                bar.tick();
            }
            None => self.output.warn(said),
        }
    }

    /// Says what is wrong with the store on lines of its own, once while it stays the same.
    fn complain(&mut self, said: String) {
        match &self.bar {
            Some(bar) if self.complaint.as_ref() != Some(&said) => {
                bar.suspend(|| self.output.warn(&said));
            }
            Some(bar) => bar.tick(),
            None => self.output.warn(&said),
        }
        self.complaint = Some(said);
    }
}

/// Whether others hold a key.
fn is_in_the_way(seen: &Inspection, session: SessionId) -> bool {
    seen.leases.iter().all(|lease| lease.session != session)
}

/// Whether all that hold a key are runs around this process.
fn is_held_around(seen: &Inspection) -> bool {
    let is_all = seen.leases.len() as u64 == seen.holders && seen.holders > 0;
    is_all && seen.leases.iter().all(|lease| is_within(lease.request))
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A failure when the key is not acquired, for commands that only succeed or fail.
pub(crate) fn acquired(turn: Turn) -> Result<LockSet, Failure> {
    match turn {
        Turn::Acquired(set) => Ok(set),
        Turn::Skipped => Err(Failure::new(Exit::Contended, "others hold the key")),
        Turn::Interrupted(signal) => {
            Err(Failure::new(Exit::of_signal(signal as i32), format!("ended by {signal}")))
        }
    }
}
