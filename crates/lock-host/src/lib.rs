//! The lock backend over any store that keeps bytes: the machine of `lock-core` inside its transactions.
//!
//! A store implements [`StateStore`], which is about 100 lines, and [`HostBackend`] makes both
//! backend traits of it. The bytes of one key are its cell: the whole state of the machine, written
//! out with a version in front. Every command reads the cell, runs the machine, and writes the cell
//! back, inside one transaction of the store or inside a loop of compare and set.

mod backend;
mod cell;
mod command;
mod config;
mod draft;
mod error;
mod inspector;
mod journal;
mod listing;
mod notify;
mod store;
mod sweep;
mod turn;
mod watch;
mod worker;

pub use backend::HostBackend;
pub use config::HostConfig;
pub use draft::{Cell, Draft, Write};
pub use error::StoreError;
pub use notify::{Inbox, Listening};
pub use store::{Events, Properties, Scan, ScanFilter, StateStore, Step};
