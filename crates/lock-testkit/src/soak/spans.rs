//! Sets of moments, as spans that do not touch each other.

use super::clock::Moment;

/// A set of moments: spans in their order, each from its beginning up to but not including its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<(Moment, Moment)>);

impl Spans {
    /// The moments that are in any of these.
    pub(super) fn union(spans: impl IntoIterator<Item = (Moment, Moment)>) -> Self {
        let mut spans: Vec<_> = spans.into_iter().filter(|(from, to)| from < to).collect();
        spans.sort_unstable();
        let mut merged: Vec<(Moment, Moment)> = Vec::new();
        for (from, to) in spans {
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        Self(merged)
    }

    /// The moments of this set that are not in the other.
    pub(super) fn without(&self, other: &Self) -> Self {
        let (mut left, mut next) = (Vec::new(), 0);
        for &(mut from, to) in &self.0 {
            while other.0.get(next).is_some_and(|taken| taken.1 <= from) {
                next += 1;
            }
            let mut taken = next;
            while let Some(&(begin, end)) = other.0.get(taken).filter(|taken| taken.0 < to) {
                if from < begin {
                    left.push((from, begin));
                }
                from = from.max(end);
                taken += 1;
            }
            if from < to {
                left.push((from, to));
            }
        }
        Self(left)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Moment, Moment)> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_touch_become_one() {
        let spans = Spans::union([(5, 9), (1, 3), (3, 4), (8, 12), (7, 7)]);
        assert_eq!(spans.iter().collect::<Vec<_>>(), [(1, 4), (5, 12)]);
    }

    #[test]
    fn what_is_taken_away_splits() {
        let spans = Spans::union([(0, 10), (20, 30), (40, 50)]);
        let other = Spans::union([(2, 4), (6, 22), (29, 45), (60, 70)]);
        let left = spans.without(&other);
        assert_eq!(left.iter().collect::<Vec<_>>(), [(0, 2), (4, 6), (22, 29), (45, 50)]);
        assert_eq!(spans.without(&Spans::default()), spans);
        assert_eq!(spans.without(&Spans::union([(0, 100)])), Spans::default());
    }
}
