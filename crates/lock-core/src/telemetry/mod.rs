//! Metrics: their names, units, labels and buckets, for exporters and for the crates that record
//! them.
//!
//! The figures go through the [`metrics`](https://docs.rs/metrics) facade to the recorder of the
//! process. A manager and a [`Metered`](crate::layer::Metered) store take their handles when they are
//! created: install the recorder before. Without a recorder a figure is a branch.
//!
//! No key, owner, session, request or token is ever a label: the number of series is bounded.

mod meter;
mod metric;
pub(crate) mod names;

pub use metric::{Metric, MetricKind, MetricUnit};
pub use names::METRICS;

pub(crate) use meter::{counter, gauge, histogram, labelled_counters};
