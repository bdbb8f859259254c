//! What every client of Redis in this workspace does alike.
//!
//! - [`install_tls`] gives rustls its cryptography before a connection is made.
//! - [`escape_glob`] makes a text a part of a pattern in which nothing is special.
//! - [`is_refusal`] says of an error whether the command certainly did not happen.
//! - [`Peer`] names a connection, so that the next one can end it.
//!
//! Connections, time-outs, retries and scripts are the clients' own: they differ on purpose.

mod glob;
mod peer;
mod refusal;
mod tls;

pub use glob::escape_glob;
pub use peer::Peer;
pub use refusal::{is_refusal, is_unknown_script};
pub use tls::install_tls;
