#![doc = include_str!("../README.md")]

mod faulty;
mod fixture;
#[macro_use]
mod table;
mod suite;
mod test_context;

pub mod cases;
#[cfg(feature = "differential")]
pub mod differential;
#[cfg(feature = "simulation")]
pub mod simulation;
#[cfg(feature = "soak")]
pub mod soak;
#[cfg(feature = "telemetry")]
pub mod telemetry;

pub use faulty::{Fault, Faulty, NoticeFault};
pub use fixture::Fixture;
pub use suite::{Case, IntoOutcome, Outcome, Skipped, all_cases, run};
pub use test_context::{Mail, TestContext, ToLeaseName};
