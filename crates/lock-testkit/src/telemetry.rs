//! The metrics that a scenario recorded, compared with a table in a document.

use std::collections::{BTreeMap, BTreeSet};

use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, Snapshotter};

/// Values of a label, by its name.
type Labels = BTreeMap<String, BTreeSet<String>>;

/// One metric: its kind and unit, and the values of its labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a row of a table")]
pub struct Row {
    /// Kind, as the table has it.
    pub kind: String,
    /// Unit, as the table has it.
    pub unit: String,
    /// Values of each label.
    pub labels: Labels,
}

/// The rows of the table below `## SECTION`, by name.
#[must_use]
pub fn documented(document: &str, section: &str) -> BTreeMap<String, Row> {
    let lines = document.lines().skip_while(|line| *line != format!("## {section}")).skip(1);
    let rows = lines.take_while(|line| !line.starts_with("## ")).filter_map(|line| {
        let mut cells = line.strip_prefix("| `lock_")?.split('|').map(str::trim);
        let name = format!("lock_{}", cells.next()?.trim_end_matches('`'));
        // A row of another table has fewer cells.
        let (kind, unit, labels) = (cells.next()?, cells.next()?, cells.next()?);
        let labels = labels.split(';').filter(|label| !label.is_empty()).map(|label| {
            let (name, values) = label.split_once(':').unwrap_or((label, ""));
            let values = values.split(',').map(|value| value.trim().to_owned());
            let values = values.filter(|value| !value.is_empty()).collect();
            (name.trim().trim_matches('`').to_owned(), values)
        });
        let (kind, unit) = (kind.to_owned(), unit.to_owned());
        Some((name, Row { kind, unit, labels: labels.collect() }))
    });
    rows.collect()
}

/// What a recorder has at one time.
#[derive(Debug)]
pub struct Figures(Vec<Figure>);

#[derive(Debug)]
struct Figure {
    name: String,
    kind: &'static str,
    unit: String,
    labels: BTreeMap<String, String>,
    /// Value of a counter or a gauge; number of values of a histogram.
    value: f64,
    values: Vec<f64>,
}

impl Figures {
    /// Takes out what was recorded since the last time.
    #[must_use]
    pub fn take(snapshotter: &Snapshotter) -> Self {
        let figures = snapshotter.snapshot().into_vec().into_iter().map(|(key, unit, _, value)| {
            let kind = match key.kind() {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram => "histogram",
            };
            let labels = key.key().labels();
            let labels = labels.map(|label| (label.key().to_owned(), label.value().to_owned()));
            #[expect(clippy::cast_precision_loss, reason = "a test does not count that far")]
            let (value, values) = match value {
                DebugValue::Counter(count) => (count as f64, Vec::new()),
                DebugValue::Gauge(value) => (value.0, Vec::new()),
                DebugValue::Histogram(values) => {
                    (values.len() as f64, values.into_iter().map(|value| value.0).collect())
                }
            };
            let unit = unit.map_or_else(String::new, |unit| unit.as_str().to_owned());
            let name = key.key().name().to_owned();
            Figure { name, kind, unit, labels: labels.collect(), value, values }
        });
        Self(figures.collect())
    }

    /// All metrics that have a name with this prefix, used or not.
    #[must_use]
    pub fn rows(&self, prefix: &str) -> BTreeMap<String, Row> {
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        for figure in self.0.iter().filter(|figure| figure.name.starts_with(prefix)) {
            let row = rows.entry(figure.name.clone()).or_default();
            (row.kind, row.unit) = (figure.kind.to_owned(), figure.unit.clone());
            for (label, value) in &figure.labels {
                row.labels.entry(label.clone()).or_default().insert(value.clone());
            }
        }
        rows
    }

    /// The sum of the series of a metric that have these labels; of a histogram the number of its
    /// values.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(name, labels).map(|figure| figure.value).sum()
    }

    /// The values of a histogram with these labels.
    #[must_use]
    pub fn values(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        self.series(name, labels).flat_map(|figure| figure.values.iter().copied()).collect()
    }

    fn series(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Figure> {
        let has = |figure: &Figure, (label, value): &(&str, &str)| {
            figure.labels.get(*label).is_some_and(|it| it == value)
        };
        self.0.iter().filter(move |figure| {
            figure.name == name && labels.iter().all(|label| has(figure, label))
        })
    }
}

/// Ways in which the metrics differ from the table; none if they are the same. Of the `lazy` ones,
/// whose series come into being when they are first used, some values may be missing, and labels
/// without values in the table have any.
#[must_use]
pub fn differences(
    documented: &BTreeMap<String, Row>,
    recorded: &BTreeMap<String, Row>,
    lazy: &[&str],
) -> Vec<String> {
    let names: BTreeSet<_> = documented.keys().chain(recorded.keys()).collect();
    let mut differences = Vec::new();
    for name in names {
        let (told, seen) = match (documented.get(name), recorded.get(name)) {
            (Some(told), Some(seen)) => (told, seen),
            (None, _) => {
                differences.push(format!("{name} is not documented"));
                continue;
            }
            (_, None) => {
                differences.push(format!("{name} is not recorded"));
                continue;
            }
        };
        let is_part = |(label, values): (&String, &BTreeSet<String>)| {
            let told = told.labels.get(label);
            told.is_some_and(|told| told.is_empty() || told.is_superset(values))
        };
        let are_known = told.labels.len() == seen.labels.len() && seen.labels.iter().all(is_part);
        let is_lazy = lazy.contains(&name.as_str()) && are_known;
        let are_same = (&told.kind, &told.unit) == (&seen.kind, &seen.unit);
        if !are_same || (told.labels != seen.labels && !is_lazy) {
            differences.push(format!("{name} is documented as {told:?} and recorded as {seen:?}"));
        }
    }
    differences
}
