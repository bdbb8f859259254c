//! Terraform's `http` backend: states whose locks are leases, and whose `LOCK` waits in the queue.

mod documents;
mod files;
mod lock;
mod lock_info;
mod name;
mod policy;
mod routes;
mod state;
mod states;

pub use documents::DocumentStates;
pub use files::FileStates;
pub use name::StateName;
pub use policy::{TerraformPolicy, TerraformRule};
pub(crate) use routes::router;
pub use states::{Refused, StateError, StateStore, Write};
