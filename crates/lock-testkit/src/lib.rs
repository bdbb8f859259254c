//! The conformance suite that every lock backend must pass, and what its tests are made of.

mod faulty;
mod fixture;
#[macro_use]
mod table;
mod suite;
mod world;

pub mod cases;
pub mod client;
#[cfg(feature = "differential")]
pub mod differential;
pub mod proxy;
pub mod server;
#[cfg(feature = "simulation")]
pub mod simulation;
#[cfg(feature = "soak")]
pub mod soak;

pub use faulty::{Fault, Faulty, NoticeFault};
pub use fixture::Fixture;
pub use suite::{Case, IntoOutcome, Outcome, Skipped, all_cases, run};
pub use world::{Mail, Named, World};
