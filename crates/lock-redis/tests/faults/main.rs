//! The store in Redis when servers, networks and processes fail: all of it real.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scene;

mod damage;
mod gaps;
mod hammer;
mod limits;
mod lines;
mod losses;
mod orphans;
mod processes;
mod refusals;
mod replies;
mod servers;
mod wipes;
