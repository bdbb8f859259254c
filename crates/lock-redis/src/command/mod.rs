//! The commands, one a module: how each is encoded, its script, and how its answer is read.

mod acquire;
mod cancel;
mod evict;
mod hear;
mod inspect;
mod list;
#[cfg(feature = "cluster")]
mod list_shards;
mod release;
mod renew;
mod repair;
pub(crate) mod request_release;
mod settle;
mod transfer;
mod waits;

use std::sync::LazyLock;

use crate::connection::{probe, supervisor};
use crate::script::{Library, Script, Scripts, Time};

pub use repair::Repair;
pub(crate) use settle::sweep;

/// All commands there are.
const ALL: &[&Script] = &[
    &acquire::ACQUIRE,
    &acquire::ACQUIRE_FREE,
    &acquire::ACQUIRE_MANY,
    &cancel::CANCEL,
    &evict::EVICT,
    &hear::HEAR,
    &inspect::INSPECT,
    &list::LEASES,
    &list::STATES,
    &release::RELEASE,
    &release::RELEASE_ALONE,
    &release::RELEASE_MANY,
    &renew::RENEW,
    &renew::RENEW_ALONE,
    &repair::REPAIR,
    &request_release::REQUEST_RELEASE,
    &settle::SETTLE,
    &transfer::TRANSFER,
    &waits::WAITERS,
    &supervisor::CONNECT,
    &probe::PROBE,
];

static ON_SERVER_TIME: LazyLock<Library> = LazyLock::new(|| Library::new(ALL, &Time::Server));
#[cfg(feature = "test-util")]
static ON_STEERED_TIME: LazyLock<Library> =
    LazyLock::new(|| Library::new(ALL, &Time::Steered(std::sync::Arc::default())));

/// The commands on this clock.
pub(crate) fn scripts(time: Time) -> Scripts {
    let library = match &time {
        Time::Server => &*ON_SERVER_TIME,
        #[cfg(feature = "test-util")]
        Time::Steered(_) => &*ON_STEERED_TIME,
    };
    Scripts::new(library, time)
}
