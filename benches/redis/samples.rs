//! Named samples of each round.

use std::collections::BTreeMap;

/// Values by name, in the order of the rounds.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<String, Vec<f64>>);

impl Samples {
    pub(crate) fn push(&mut self, name: String, value: f64) {
        self.0.entry(name).or_default().push(value);
    }

    fn of(&self, name: &str) -> &[f64] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The median of the rounds; not a number when nothing was measured.
    pub(crate) fn median(&self, name: &str) -> f64 {
        median(self.of(name).to_vec())
    }

    /// The highest of the rounds; not a number when nothing was measured.
    pub(crate) fn highest(&self, name: &str) -> f64 {
        self.of(name).iter().copied().fold(f64::NAN, f64::max)
    }

    /// The median of what the rounds have as the ratio of the one to the other.
    pub(crate) fn ratio(&self, one: &str, other: &str) -> f64 {
        let rounds = self.of(one).iter().zip(self.of(other));
        median(rounds.map(|(one, other)| one / other).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (lower, upper) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match values.get(lower).zip(values.get(upper)) {
        Some((lower, upper)) => f64::midpoint(*lower, *upper),
        None => f64::NAN,
    }
}

/// Many times, each in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<u64>);

impl Times {
    pub(crate) fn push(&mut self, nanos: u64) {
        self.0.push(nanos);
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time in microseconds that this many of a hundred do not exceed; 100 is the longest.
    pub(crate) fn percentile(&mut self, percent: f64) -> f64 {
        if self.0.is_empty() {
            return f64::NAN;
        }
        let rank = ((self.0.len() as f64 * percent / 100.0) as usize).min(self.0.len() - 1);
        *self.0.select_nth_unstable(rank).1 as f64 / 1e3
    }
}
