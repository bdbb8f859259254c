//! Runs a case and reports its outcome.

use std::any::Any;
use std::fmt;
use std::fs::OpenOptions;
use std::future::Future;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::time::Duration;

use crate::{Fixture, TestContext};

/// The time limit of a case, on its own clock.
const LIMIT: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// The time limit of a case that runs in real time.
const REAL_LIMIT: Duration = Duration::from_secs(60);
/// The variable that names a file to which a line is added for each case that is skipped.
const SKIPPED: &str = "LOCK_SKIPPED";

/// One case of the suite.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Case {
    /// Its module and name.
    pub name: &'static str,
    /// The promise of the contract that it checks.
    pub promise: &'static str,
    /// Its body.
    pub body: fn(TestContext) -> Pin<Box<dyn Future<Output = Outcome>>>,
}

/// The end of a case that did not fail.
pub type Outcome = Result<(), Skipped>;

/// The reason why a case did not run: a capability that the fixture lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Skipped(&'static str);

impl Skipped {
    /// The case needs a capability that the fixture lacks, for this reason.
    pub const fn because(reason: &'static str) -> Self {
        Self(reason)
    }

    /// Reports that a test did not run: prints `skipped: test: reason`, and appends the line to the
    /// file that the environment variable `LOCK_SKIPPED` names, if it is set.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[expect(clippy::print_stdout, reason = "a person who runs the test by hand reads it")]
    pub fn tell(self, test: &str) {
        let line = format!("skipped: {test}: {self}\n");
        print!("{line}");
        if let Some(path) = std::env::var_os(SKIPPED) {
            let mut file =
                OpenOptions::new().create(true).append(true).open(path).expect("the file opens");
            // One write, so that lines of concurrent tests do not mix.
            file.write_all(line.as_bytes()).expect("the line is written");
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The return type of a case's body: nothing, or an [`Outcome`] if it may be skipped.
pub trait IntoOutcome {
    /// The outcome.
    ///
    /// # Errors
    /// [`Skipped`] when the case did not run.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Ok(())
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

/// Runs one case on a store of its own, in a runtime of its own.
///
/// A skipped case [is reported](Skipped::tell), because a test runner counts it as passed and hides
/// its output.
///
/// # Errors
/// [`Skipped`] when the fixture lacks a capability that the case needs.
///
/// # Panics
/// When the store breaks the promise of the case, naming it.
#[expect(clippy::panic, reason = "a case fails by panicking")]
pub fn run<F: Fixture>(case: &Case) -> Outcome {
    match catch_unwind(AssertUnwindSafe(|| run_unnamed::<F>(case))) {
        Ok(outcome) => {
            if let Err(skipped) = outcome {
                skipped.tell(case.name);
            }
            outcome
        }
        Err(payload) => {
            let Case { name, promise, .. } = case;
            panic!("{name} fails\n  promise: {promise}\n  but: {}", words(&*payload));
        }
    }
}

fn run_unnamed<F: Fixture>(case: &Case) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(F::paused())
        .build()
        .expect("a runtime starts");
    let limit = if F::paused() { LIMIT } else { REAL_LIMIT };
    runtime.block_on(async {
        let context = TestContext::start::<F>().await;
        tokio::time::timeout(limit, (case.body)(context)).await.expect("the case ends")
    })
}

/// The message of a panic.
fn words(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}

/// Expands to one `#[test]` for each case of the suite, run on stores of the given
/// [`Fixture`].
#[macro_export]
macro_rules! conformance {
    ($fixture:ty) => {
        $crate::for_each_case!([$crate::case_tests] $fixture);
    };
}

/// Expands to the tests of [`conformance!`].
#[macro_export]
#[doc(hidden)]
macro_rules! case_tests {
    (($fixture:ty) $($promise:literal: $($module:ident :: $case:ident),+;)*) => {
        $($(
            #[test]
            fn $case() {
                let _ = $crate::run::<$fixture>(&$crate::case!($promise, $module, $case));
            }
        )+)*
    };
}

/// Expands to a [`Case`].
#[macro_export]
#[doc(hidden)]
macro_rules! case {
    ($promise:literal, $module:ident, $case:ident) => {
        $crate::Case::new(
            concat!(stringify!($module), "::", stringify!($case)),
            $promise,
            |context| {
                Box::pin(async {
                    $crate::IntoOutcome::into_outcome($crate::cases::$module::$case(context).await)
                })
            },
        )
    };
}

impl Case {
    /// The case of this name, with its promise.
    #[must_use]
    pub const fn new(
        name: &'static str,
        promise: &'static str,
        body: fn(TestContext) -> Pin<Box<dyn Future<Output = Outcome>>>,
    ) -> Self {
        Self { name, promise, body }
    }
}

macro_rules! case_list {
    (() $($promise:literal: $($module:ident :: $case:ident),+;)*) => {
        vec![$($(crate::case!($promise, $module, $case),)+)*]
    };
}

/// Every case of the suite.
#[must_use]
pub fn all_cases() -> Vec<Case> {
    for_each_case!([case_list])
}
