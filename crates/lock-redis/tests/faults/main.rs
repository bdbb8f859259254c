//! The store in Redis when servers, networks and processes fail: all of it real.

mod scene;

mod gaps;
mod hammer;
mod lines;
mod orphans;
mod processes;
mod refusals;
mod replies;
mod servers;
mod wipes;
