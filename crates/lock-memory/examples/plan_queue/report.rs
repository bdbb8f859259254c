//! The table at the end: how long each priority waited.

use std::time::Duration;

use lock_core::Priority;

use crate::rows::seconds;

/// The table: how many requests of each priority there were, and how long they waited.
pub(crate) fn table(waits: &[(Priority, Duration)]) -> String {
    let mut lines = vec!["priority  requests  wait p50  wait p99  wait max".to_owned()];
    for priority in Priority::ALL.into_iter().rev() {
        let mine = waits.iter().filter(|(of, _)| *of == priority).map(|(_, wait)| *wait);
        lines.push(row(priority.as_str(), mine.collect()));
    }
    lines.push(row("all", waits.iter().map(|(_, wait)| *wait).collect()));
    lines.join("\n")
}

fn row(name: &str, mut waits: Vec<Duration>) -> String {
    waits.sort_unstable();
    let percentile = |percent| percentile(&waits, percent).map_or("-".to_owned(), seconds);
    let (p50, p99, max) = (percentile(50), percentile(99), percentile(100));
    format!("{name:<8}  {:>8}  {p50:>8}  {p99:>8}  {max:>8}", waits.len())
}

/// The percentile by nearest rank: the smallest of the sorted values that at least `percent` of a
/// hundred of them do not exceed. It is always one of the values, never between two.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn spans(seconds: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        seconds.into_iter().map(Duration::from_secs).collect()
    }

    #[test]
    fn a_percentile_is_the_value_of_the_nearest_rank() {
        let hundred = spans(1..=100);
        for percent in [1, 50, 99, 100] {
            let expected = Duration::from_secs(percent as u64);
            assert_eq!(percentile(&hundred, percent), Some(expected));
        }
        // The example of the method: of 15, 20, 35, 40, 50 the 40th is 20 and the 50th is 35.
        let five = spans([15, 20, 35, 40, 50]);
        let expected = spans([15, 20, 20, 35, 50, 50]);
        let found = [5, 30, 40, 50, 99, 100].map(|percent| percentile(&five, percent));
        assert_eq!(found.map(Option::unwrap), *expected);
    }

    #[test]
    fn one_value_is_every_percentile_and_none_has_none() {
        assert_eq!(percentile(&spans([7]), 50), Some(Duration::from_secs(7)));
        assert_eq!(percentile(&spans([7]), 99), Some(Duration::from_secs(7)));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn the_table_has_a_row_for_each_priority() {
        let mut waits = vec![
            (Priority::Critical, Duration::from_millis(1_240)),
            (Priority::Critical, Duration::ZERO),
            (Priority::Low, Duration::from_secs(12_345)),
        ];
        waits.extend(
            (1..=200).map(|tenths| (Priority::Normal, Duration::from_millis(tenths * 100))),
        );
        assert_snapshot!(table(&waits), @r"
        priority  requests  wait p50  wait p99  wait max
        critical         2       0.0       1.2       1.2
        high             0         -         -         -
        normal         200      10.0      19.8      20.0
        low              1   12345.0   12345.0   12345.0
        all            203      10.0      19.9   12345.0
        ");
    }
}
