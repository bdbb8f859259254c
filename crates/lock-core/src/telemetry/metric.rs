//! One metric: name, kind, unit, labels, buckets.

/// A metric of the project.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// The name, which ends in its unit; that of a counter in `_total`.
    pub name: &'static str,
    /// The kind, with the buckets of a histogram.
    pub kind: MetricKind,
    /// The unit.
    pub unit: MetricUnit,
    /// Names of the labels.
    pub labels: &'static [&'static str],
    /// What is counted or measured.
    pub help: &'static str,
}

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetricKind {
    /// A number that only grows.
    Counter,
    /// A number that rises and falls.
    Gauge,
    /// A distribution, with the upper bounds of the buckets that an exporter uses.
    Histogram(&'static [f64]),
}

/// Unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricUnit {
    /// A number of things.
    Count,
    /// Seconds.
    Seconds,
}

impl Metric {
    /// A counter of things.
    #[must_use]
    pub const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: MetricKind::Counter, unit: MetricUnit::Count, labels, help }
    }

    /// A gauge of things.
    #[must_use]
    pub const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: MetricKind::Gauge, unit: MetricUnit::Count, labels, help }
    }

    /// A histogram with these buckets.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        unit: MetricUnit,
        buckets: &'static [f64],
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: MetricKind::Histogram(buckets), unit, labels, help }
    }

    /// Tells the recorder of the process the unit and the help text.
    pub fn describe(&self) {
        let (name, help) = (self.name, self.help);
        let unit = match self.unit {
            MetricUnit::Count => metrics::Unit::Count,
            MetricUnit::Seconds => metrics::Unit::Seconds,
        };
        match self.kind {
            MetricKind::Counter => metrics::describe_counter!(name, unit, help),
            MetricKind::Gauge => metrics::describe_gauge!(name, unit, help),
            MetricKind::Histogram(_) => metrics::describe_histogram!(name, unit, help),
        }
    }
}
