//! The cases, one module a promise.

#![expect(clippy::panic, clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![expect(clippy::missing_errors_doc, reason = "the error of a case is that it is skipped")]

pub mod appeals;
pub mod cancel;
pub mod clock;
pub mod connections;
pub mod crowds;
pub mod events;
pub mod evict;
pub mod exclusion;
pub mod handoff;
pub mod hearing;
pub mod inspection;
pub mod isolation;
pub mod leases;
pub mod listing;
pub mod liveness;
pub mod marks;
pub mod metadata;
pub mod names;
pub mod notices;
pub mod queue;
pub mod release;
pub mod renewal;
pub mod requests;
pub mod shared;
pub mod tokens;
pub mod transfer;
pub mod upgrades;

/// Compares the value with the expected one; a failure prints both and the expression.
macro_rules! expect_eq {
    ($got:expr, $expected:expr $(,)?) => {
        $crate::cases::expect_eq!($got, $expected, "")
    };
    ($got:expr, $expected:expr, $($about:tt)+) => {
        match (&$got, &$expected) {
            (got, expected) => assert!(
                *got == *expected,
                "expected {expected:?},\n  got {got:?}\n  from `{}` {}",
                stringify!($got),
                format_args!($($about)+),
            ),
        }
    };
}

pub(crate) use expect_eq;
