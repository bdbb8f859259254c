//! The recorder of the process, whose figures the service exports.

use std::time::Duration;

use lock_core::telemetry::{METRICS, MetricKind};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::exit::{Exit, Failure};

/// Interval at which values of histograms are put into their buckets, if nobody asks for them.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder, with the buckets that each histogram states.
pub(super) fn install() -> Result<PrometheusHandle, Failure> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS.iter().chain(lock_redis::METRICS).chain(lock_server::METRICS) {
        if let MetricKind::Histogram(buckets) = metric.kind {
            let matcher = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(matcher, buckets).map_err(failed)?;
        }
    }
    builder.install_recorder().map_err(failed)
}

/// Bounds the memory of the recorder, for ever.
pub(super) async fn keep_up(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Unavailable, format!("the metrics cannot be recorded: {error}"))
}
