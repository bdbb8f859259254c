#![doc = include_str!("../README.md")]

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
mod thread;
mod turn;
mod watch;
mod worker;

pub use backend::HostBackend;
pub use config::HostConfig;
pub use draft::{Cell, Draft, Write};
pub use error::StoreError;
pub use notify::{Inbox, Listening};
pub use store::{Events, Properties, Scan, ScanFilter, StateStore, Step};
