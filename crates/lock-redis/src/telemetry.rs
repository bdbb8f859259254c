//! Metrics of the connections to Redis.

use lock_core::telemetry::{Metric, MetricUnit};
use metrics::{Counter, Histogram};

const BATCHES: Metric = Metric::histogram(
    "lock_redis_batch_size",
    MetricUnit::Count,
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0],
    &[],
    "Commands in a batch of short commands",
);
const RECONNECTS: Metric = Metric::counter(
    "lock_redis_reconnects_total",
    &["connection"],
    "Connections that were made again after a loss",
);

const LOOKS: Metric = Metric::counter(
    "lock_redis_cluster_looks_total",
    &[],
    "Looks at which node of a cluster has which slots",
);

/// The metrics of this crate, beside those of [`lock_core`].
pub const METRICS: &[Metric] = &[BATCHES, LOOKS, RECONNECTS];

pub(crate) fn batches() -> Histogram {
    BATCHES.describe();
    metrics::histogram!(BATCHES.name)
}

/// Reconnections of the connection for `commands` or for `notices`.
pub(crate) fn reconnects(connection: &'static str) -> Counter {
    RECONNECTS.describe();
    metrics::counter!(RECONNECTS.name, "connection" => connection)
}

/// Looks at a cluster.
#[cfg(feature = "cluster")]
pub(crate) fn looks() -> Counter {
    LOOKS.describe();
    metrics::counter!(LOOKS.name)
}
