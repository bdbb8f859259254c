//! The pauses between attempts at a store that fails.

use std::time::Duration;

use tokio::time::sleep;

use super::retry_policy::RetryPolicy;

/// The pauses between attempts. By default they are those of the default policy, with full jitter
/// (Brooker, "Exponential Backoff And Jitter", 2015).
#[derive(Debug, Default)]
pub(super) struct Backoff {
    policy: RetryPolicy,
    /// Number of pauses so far.
    count: u32,
}

impl Backoff {
    /// The pauses of this policy.
    pub(super) const fn of(policy: RetryPolicy) -> Self {
        Self { policy, count: 0 }
    }

    /// The next pause; `None` if there is to be no other attempt.
    pub(super) fn next_if_any(&mut self) -> Option<Duration> {
        let pause = match self.policy {
            RetryPolicy::Exponential { first, longest } => {
                let doubled = 2_u32.checked_pow(self.count).unwrap_or(u32::MAX);
                let bound = first.span().saturating_mul(doubled).min(longest.span());
                bound.mul_f64(crate::model::random::random())
            }
            RetryPolicy::Fixed { pause } => pause.span(),
            RetryPolicy::Linear { step, longest } => {
                step.span().saturating_mul(self.count.saturating_add(1)).min(longest.span())
            }
            RetryPolicy::None => return None,
        };
        self.count = self.count.saturating_add(1);
        Some(pause)
    }

    /// The next pause of what must be retried, which has the default policy.
    pub(super) fn next(&mut self) -> Duration {
        self.next_if_any().expect("the default policy retries")
    }

    /// Waits for the next pause.
    pub(super) async fn pause(&mut self) {
        sleep(self.next()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn pauses(policy: RetryPolicy, count: usize) -> Vec<Duration> {
        let mut backoff = Backoff::of(policy);
        std::iter::from_fn(|| backoff.next_if_any()).take(count).collect()
    }

    #[test]
    fn fixed_pauses_stay_and_linear_ones_grow_up_to_the_longest() {
        let fixed = RetryPolicy::fixed(millis(70)).unwrap();
        assert_eq!(pauses(fixed, 3), [millis(70); 3]);
        let linear = RetryPolicy::linear(millis(100), millis(250)).unwrap();
        assert_eq!(pauses(linear, 4), [100, 200, 250, 250].map(millis));
        assert_eq!(pauses(RetryPolicy::None, 4), []);
    }

    #[test]
    fn exponential_pauses_are_below_a_bound_that_doubles() {
        let policy = RetryPolicy::exponential(millis(10), millis(35)).unwrap();
        let mut highest = [Duration::ZERO; 6];
        for _ in 0..500 {
            for (highest, pause) in highest.iter_mut().zip(pauses(policy, 6)) {
                *highest = pause.max(*highest);
            }
        }
        for (highest, bound) in highest.into_iter().zip([10, 20, 35, 35, 35, 35].map(millis)) {
            // 500 draws stay below nine tenths of it with a chance of 1 in 10^22.
            assert!(highest <= bound && highest > bound * 9 / 10, "{highest:?} of {bound:?}");
        }
    }

    #[test]
    fn pauses_stay_in_bounds_for_ever() {
        let mut backoff = Backoff { policy: RetryPolicy::default(), count: u32::MAX - 1 };
        assert!(backoff.next() <= millis(1000) && backoff.next() <= millis(1000));
        let longest = RetryPolicy::linear(crate::Timeout::MAX, crate::Timeout::MAX).unwrap();
        let mut backoff = Backoff { policy: longest, count: u32::MAX };
        assert_eq!(backoff.next(), crate::Timeout::MAX);
    }
}
