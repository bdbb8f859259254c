//! The bytes of commands and answers.

mod reply;
mod request;

pub(crate) use reply::{Protocol, Reply};
pub(crate) use request::Decoder;
