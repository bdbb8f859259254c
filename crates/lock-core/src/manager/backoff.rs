//! The pauses between attempts at a store that fails.

use std::time::Duration;

use tokio::time::sleep;

/// The shortest and the longest pause before jitter.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The pauses between attempts: 20 ms, doubling up to 1 s, with full jitter, so that clients that
/// failed together do not come back together (Brooker, "Exponential Backoff And Jitter", 2015).
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: PAUSES.0 }
    }
}

impl Backoff {
    /// The next pause.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next.mul_f64(crate::model::random::random());
        self.next = (self.next * 2).min(PAUSES.1);
        pause
    }

    /// Waits for the next pause.
    pub(super) async fn pause(&mut self) {
        sleep(self.next()).await;
    }
}
