//! The contract: the two backend traits, their requests and replies.

pub(crate) mod backend;
pub(crate) mod deadlock;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod health;
pub(crate) mod inspector;
pub(crate) mod lease;
pub(crate) mod loss_reason;
pub(crate) mod notice;
pub(crate) mod position;
pub(crate) mod query;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod waiter;
