//! The signals that are passed on.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use nix::sys::signal::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::exit::{Exit, Failure};

/// Signals that the command gets when this process does, and those that tell of the command.
const HEARD: [Number; 9] = [
    Number::SIGCHLD,
    Number::SIGCONT,
    Number::SIGHUP,
    Number::SIGINT,
    Number::SIGQUIT,
    Number::SIGTERM,
    Number::SIGTSTP,
    Number::SIGUSR1,
    Number::SIGUSR2,
];

/// The signals that this process inherited as ignored, as by `nohup`, one bit each: the command
/// ignores them as well.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Longest time that the store may still take when this process was asked to end.
const PATIENCE: Duration = Duration::from_millis(800);

/// The signals that came.
pub(crate) struct Signals {
    streams: Vec<(Number, Signal)>,
    /// When this process was asked to end.
    asked_at: Option<Instant>,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |number: Number| {
            let stream = signal(SignalKind::from_raw(number as i32));
            stream.map(|stream| (number, stream))
        };
        let ignored = ignored();
        let heard = HEARD.into_iter().filter(|&it| ignored & (1 << (it as u32 - 1)) == 0);
        let streams = heard.map(listen).collect::<Result<Vec<_>, _>>();
        streams
            .map(|streams| Self { streams, asked_at: None })
            .map_err(|error| Failure::new(Exit::Unavailable, error.to_string()))
    }

    /// The next signal. It may be dropped at any time.
    pub(crate) async fn next(&mut self) -> Number {
        poll_fn(|cx| {
            for (number, stream) in &mut self.streams {
                if stream.poll_recv(cx).is_ready() {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The next signal that asks this process to end.
    pub(crate) async fn next_to_end(&mut self) -> Number {
        loop {
            let number = self.next().await;
            if matches!(number, Number::SIGHUP | Number::SIGINT | Number::SIGQUIT | Number::SIGTERM)
            {
                self.asked_at.get_or_insert_with(Instant::now);
                return number;
            }
            if number == Number::SIGTSTP {
                let _ = nix::sys::signal::raise(Number::SIGSTOP);
            }
        }
    }

    /// Waits until this process was asked to end and the store had its time.
    pub(crate) async fn until_impatient(&mut self) {
        let asked_at = match self.asked_at {
            Some(asked_at) => asked_at,
            None => {
                self.next_to_end().await;
                Instant::now()
            }
        };
        sleep_until(asked_at + PATIENCE).await;
    }
}
