//! Terraform's `http` backend: states whose locks are leases, and whose `LOCK` waits in the queue.

mod files;
mod lock;
mod lock_info;
mod name;
mod routes;
mod state;
mod states;

pub use files::FileStates;
pub use name::StateName;
pub(crate) use routes::router;
pub use states::{Refused, StateError, StateStore, Write};
