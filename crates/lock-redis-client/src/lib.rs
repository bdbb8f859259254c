#![doc = include_str!("../README.md")]

mod glob;
mod peer;
mod refusal;
mod tls;

pub use glob::escape_glob;
pub use peer::Peer;
pub use refusal::{is_refusal, is_unknown_script};
pub use tls::install_tls;
