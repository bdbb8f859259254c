//! Who may do what: tokens of access, each with a role and the prefixes of its keys.

mod caller;
mod client;
mod credentials;
mod error;
mod guard;
mod role;
mod seal;
mod shared;
mod token;
mod tokens;
mod veil;
mod waits;

pub use client::AccessClient;
pub use error::AccessError;
pub use role::Role;
pub use shared::Access;
pub use token::AccessToken;
pub use tokens::AccessTokens;

pub(crate) use caller::Caller;
pub(crate) use guard::{identify, needs};
pub(crate) use veil::Veil;
pub(crate) use waits::{Waiting, Waits};
