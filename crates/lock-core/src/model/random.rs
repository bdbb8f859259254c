//! Random numbers: of the system, or of a seed so that a test repeats.

use rand::distr::{Distribution, StandardUniform};

/// A random value.
pub(crate) fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    #[cfg(feature = "test-util")]
    if let Some(value) = seeded::random() {
        return value;
    }
    rand::random()
}

#[cfg(feature = "test-util")]
pub use seeded::seed_random;

#[cfg(feature = "test-util")]
mod seeded {
    use std::cell::RefCell;

    use rand::distr::{Distribution, StandardUniform};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    thread_local! {
        static SEEDED: RefCell<Option<StdRng>> = const { RefCell::new(None) };
    }

    /// Makes this thread take its identities and its pauses from `seed`, so that a run on one
    /// thread repeats exactly; `None` makes them random again.
    pub fn seed_random(seed: Option<u64>) {
        SEEDED.set(seed.map(StdRng::seed_from_u64));
    }

    pub(super) fn random<T>() -> Option<T>
    where
        StandardUniform: Distribution<T>,
    {
        SEEDED.with_borrow_mut(|seeded| seeded.as_mut().map(RngExt::random))
    }
}
