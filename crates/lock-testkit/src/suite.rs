//! The table of cases, and how each is run.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::{Fixture, World, cases};

/// How long a case may take, on its own clock.
const LIMIT: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// How long a case may take that runs in real time.
const REAL_LIMIT: Duration = Duration::from_secs(60);

/// One case of the suite.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Case {
    /// Its module and name.
    pub name: &'static str,
    /// What it does.
    pub body: fn(World) -> Pin<Box<dyn Future<Output = ()>>>,
}

/// Runs one case on a store of its own, in a runtime of its own.
///
/// # Panics
/// When the store does not do what the case asks for.
pub fn run<F: Fixture, C: Future<Output = ()>>(case: impl FnOnce(World) -> C) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(F::paused())
        .build()
        .expect("a runtime starts");
    let limit = if F::paused() { LIMIT } else { REAL_LIMIT };
    runtime.block_on(async {
        let world = World::start::<F>().await;
        tokio::time::timeout(limit, case(world)).await.expect("the case ends");
    });
}

/// Calls a macro with its arguments in parentheses and the table of cases.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_case {
    ([$($callback:tt)*] $($args:tt)*) => {
        $($callback)*! {
            ($($args)*)
            exclusion::second_owner_is_refused,
        }
    };
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
    (($fixture:ty) $($module:ident :: $case:ident,)*) => {
        $(
            #[test]
            fn $case() {
                $crate::run::<$fixture, _>($crate::cases::$module::$case);
            }
        )*
    };
}

macro_rules! case_list {
    (() $($module:ident :: $case:ident,)*) => {
        vec![$(Case {
            name: concat!(stringify!($module), "::", stringify!($case)),
            body: |world| Box::pin(cases::$module::$case(world)),
        },)*]
    };
}

/// Every case of the suite.
#[must_use]
pub fn all_cases() -> Vec<Case> {
    for_each_case!([case_list])
}
