//! The sequences to run, and the reduction of one that disagrees.

use std::env;
use std::sync::Arc;

use lock_core::{LockStore, ManualClock, RequestId};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::command::Command;
use super::{Disagreement, Failure, Report, START, Tally, commands, compare};

/// The settings of a differential test.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The number of sequences.
    pub sequences: u32,
    /// The seed of the first sequence; the others follow by one. `None` draws a new seed every
    /// time.
    pub seed: Option<u64>,
    /// The number of shorter sequences to try after a disagreement.
    pub shrinks: u32,
    /// True if events must agree as well, key by key.
    pub events: bool,
    /// True if notices must agree as well, mailbox by mailbox.
    pub notices: bool,
}

/// 2,000 sequences from any seed on, without events and notices.
impl Default for Settings {
    fn default() -> Self {
        Self { sequences: 2_000, seed: None, shrinks: 2_000, events: false, notices: false }
    }
}

impl Settings {
    /// The default, overridden by the environment: `LOCK_DIFFERENTIAL_SEQUENCES` is the number of
    /// sequences, and `LOCK_DIFFERENTIAL_SEED` the first seed. Values that are not numbers are
    /// ignored.
    #[must_use]
    pub fn from_env() -> Self {
        fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
            env::var(name).ok()?.trim().parse().ok()
        }
        let default = Self::default();
        let sequences = number("LOCK_DIFFERENTIAL_SEQUENCES").unwrap_or(default.sequences);
        Self { sequences, seed: number("LOCK_DIFFERENTIAL_SEED"), ..default }
    }

    /// Runs this many sequences.
    #[must_use]
    pub fn with_sequences(self, sequences: u32) -> Self {
        Self { sequences, ..self }
    }

    /// Begins with the sequence of this seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Tries this many shorter sequences after a disagreement.
    #[must_use]
    pub fn with_shrinks(self, shrinks: u32) -> Self {
        Self { shrinks, ..self }
    }

    /// Compares events, too.
    #[must_use]
    pub fn with_events(self) -> Self {
        Self { events: true, ..self }
    }

    /// Compares notices, too.
    #[must_use]
    pub fn with_notices(self) -> Self {
        Self { notices: true, ..self }
    }
}

/// Runs sequences of random commands until a store disagrees with the machine.
///
/// `start` makes an empty store for each sequence, or empties its only one, which has issued no
/// token yet. It receives the clock that the store must use, the same each time, set to [`START`].
///
/// # Errors
/// The first disagreement, made as short as the settings allow.
///
/// # Cancel safety
/// A dropped call leaves only the last store behind.
pub async fn check<S, F>(settings: &Settings, mut start: F) -> Result<Report, Failure>
where
    S: LockStore,
    F: AsyncFnMut(Arc<ManualClock>) -> S,
{
    let clock = Arc::new(ManualClock::new(START));
    // Half of a random request is a seed.
    let seed = settings.seed.unwrap_or_else(|| RequestId::random().to_bits() as u64);
    let mut report = Report::new(seed);
    while report.sequences < settings.sequences {
        let seed = seed.wrapping_add(report.sequences.into());
        let sequence = Sequence::new(seed);
        match attempt(settings, &clock, &mut start, &sequence.commands()).await {
            Ok(tally) => report.tally.add(&tally),
            Err(first) => {
                let disagreement = shorten(settings, &clock, &mut start, sequence, first).await;
                return Err(Failure { agreed: report.sequences, seed, disagreement });
            }
        }
        report.sequences += 1;
    }
    Ok(report)
}

async fn attempt<S, F>(
    settings: &Settings,
    clock: &Arc<ManualClock>,
    start: &mut F,
    commands: &[Command],
) -> Result<Tally, Disagreement>
where
    S: LockStore,
    F: AsyncFnMut(Arc<ManualClock>) -> S,
{
    clock.set(START);
    let store = start(Arc::clone(clock)).await;
    compare(&store, clock, commands, settings).await
}

/// Tries simpler sequences, and continues from each that still ends in a disagreement.
async fn shorten<S, F>(
    settings: &Settings,
    clock: &Arc<ManualClock>,
    start: &mut F,
    mut sequence: Sequence,
    first: Disagreement,
) -> Disagreement
where
    S: LockStore,
    F: AsyncFnMut(Arc<ManualClock>) -> S,
{
    let mut shortest = first;
    let mut is_simpler = sequence.0.simplify();
    for _ in 0..settings.shrinks {
        if !is_simpler {
            break;
        }
        is_simpler = match attempt(settings, clock, start, &sequence.commands()).await {
            Ok(_) => sequence.0.complicate(),
            Err(disagreement) => {
                shortest = disagreement;
                sequence.0.simplify()
            }
        };
    }
    shortest
}

/// The sequence of a seed, which can be made simpler.
struct Sequence(Box<dyn ValueTree<Value = Vec<Command>>>);

impl Sequence {
    fn new(seed: u64) -> Self {
        let bytes = [mixed(seed).to_le_bytes(), mixed(!seed).to_le_bytes()].concat();
        // The default algorithm takes half the time of a test without optimisation.
        let rng = TestRng::from_seed(RngAlgorithm::XorShift, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let tree = commands().new_tree(&mut runner);
        Self(Box::new(tree.expect("no command is ever rejected")))
    }

    fn commands(&self) -> Vec<Command> {
        self.0.current()
    }
}

/// Spreads adjacent seeds far apart: the last steps of `SplitMix64`.
const fn mixed(seed: u64) -> u64 {
    let seed = (seed ^ seed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let seed = (seed ^ seed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    seed ^ seed >> 31
}
