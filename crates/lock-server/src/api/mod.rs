//! The JSON API under `/v1`.

mod acquire;
mod admin;
mod events;
mod hold;
mod leases;
mod look;
mod probe;
mod routes;

pub(crate) use admin::evicted;
pub(crate) use leases::transferred;
pub(crate) use routes::router;
