//! Handles of metrics.

use metrics::{Counter, Gauge, Histogram};

use super::Metric;

/// Label names with their values.
type Labels<'a> = &'a [(&'static str, &'static str)];

pub(crate) fn counter(metric: Metric, labels: Labels<'_>) -> Counter {
    metric.describe();
    metrics::counter!(metric.name, labels)
}

pub(crate) fn gauge(metric: Metric) -> Gauge {
    metric.describe();
    metrics::gauge!(metric.name)
}

pub(crate) fn histogram(metric: Metric, labels: Labels<'_>) -> Histogram {
    metric.describe();
    metrics::histogram!(metric.name, labels)
}

/// A counter for each value of the only label.
pub(crate) fn labelled_counters<const N: usize>(
    metric: Metric,
    values: [&'static str; N],
) -> [Counter; N] {
    values.map(|value| counter(metric, &[(metric.labels[0], value)]))
}
