//! The web page for operators: locks, queues, and the acts of an operator.

mod act;
mod address;
mod chain;
mod changes;
mod csrf;
mod failure;
mod feed;
mod forms;
mod health;
mod history;
mod layout;
mod listing;
mod lock;
mod lock_view;
mod overtaking;
mod queues;
mod record;
mod routes;
mod search;
mod security;
mod site;
mod time;

pub(crate) use routes::router;
