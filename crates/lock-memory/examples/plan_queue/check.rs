//! The check that the locks were kept, from what the tasks themselves noted.
//!
//! A task notes the time after it was granted the key and before it gives it back. So the span it
//! notes lies within its lease: if two leases were kept apart, so are their spans.

use std::fmt;
use std::time::Duration;

use lock_core::{FencingToken, LockKey, Priority};

use crate::workload::Id;

/// Record of a turn; times are relative to the start of the run.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    /// The request.
    pub(crate) id: Id,
    /// The held key.
    pub(crate) key: LockKey,
    /// Priority.
    pub(crate) priority: Priority,
    /// With which token.
    pub(crate) token: FencingToken,
    /// When it asked for the key.
    pub(crate) asked: Duration,
    /// When it had the key: after the grant.
    pub(crate) acquired: Duration,
    /// When it was done: before the release.
    pub(crate) released: Duration,
}

impl Turn {
    /// Wait, by its own clock.
    pub(crate) fn waited(&self) -> Duration {
        self.acquired.saturating_sub(self.asked)
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, token, acquired, released, .. } = self;
        write!(f, "{id} (token {token}, from {acquired:?} to {released:?})")
    }
}

/// Returns the problems of the turns, one sentence each: overlapping turns of one key, and tokens
/// that do not increase.
pub(crate) fn problems(turns: &[Turn]) -> Vec<String> {
    let mut turns: Vec<_> = turns.iter().collect();
    turns.sort_by_key(|turn| (&turn.key, turn.acquired, turn.released, turn.token));
    turns.chunk_by(|one, next| one.key == next.key).flat_map(problems_of_a_key).collect()
}

fn problems_of_a_key(turns: &[&Turn]) -> Vec<String> {
    let mut problems = Vec::new();
    let Some((&first, later)) = turns.split_first() else { return problems };
    // The earlier holder that holds longest, and the one with the highest token.
    let (mut longest, mut highest) = (first, first);
    for &turn in later {
        let key = &turn.key;
        if turn.acquired < longest.released {
            problems.push(format!("`{key}`: {turn} overlaps {longest}"));
        }
        if turn.token <= highest.token {
            problems.push(format!("`{key}`: the token of {turn} is not above that of {highest}"));
        }
        if turn.released > longest.released {
            longest = turn;
        }
        if turn.token > highest.token {
            highest = turn;
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(id: &str, key: &str, token: u64, acquired: u64, released: u64) -> Turn {
        Turn {
            id: Id::parse(id).unwrap(),
            key: LockKey::parse(key).unwrap(),
            priority: Priority::Normal,
            token: FencingToken::new(token).unwrap(),
            asked: Duration::ZERO,
            acquired: Duration::from_millis(acquired),
            released: Duration::from_millis(released),
        }
    }

    #[test]
    fn turns_one_after_another_are_fine_in_any_order() {
        let turns = [
            turn("c", "k", 9, 30, 40),
            turn("a", "k", 1, 0, 10),
            turn("b", "k", 2, 10, 30),
            turn("d", "other", 1, 0, 99),
        ];
        assert_eq!(problems(&turns), [""; 0]);
        assert_eq!(problems(&[]), [""; 0]);
    }

    #[test]
    fn an_overlap_is_found() {
        let turns = [turn("a", "k", 1, 0, 10), turn("b", "k", 2, 9, 20)];
        assert_eq!(
            problems(&turns),
            ["`k`: b (token 2, from 9ms to 20ms) overlaps a (token 1, from 0ns to 10ms)"]
        );
    }

    #[test]
    fn an_overlap_with_one_long_before_is_found() {
        let turns =
            [turn("a", "k", 1, 0, 100), turn("b", "k", 2, 10, 20), turn("c", "k", 3, 50, 60)];
        let problems = problems(&turns);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[1].contains("c (token 3") && problems[1].contains("overlaps a"));
    }

    #[test]
    fn a_token_that_falls_or_stands_still_is_found() {
        let falls = [turn("a", "k", 5, 0, 10), turn("b", "k", 4, 10, 20)];
        assert_eq!(
            problems(&falls),
            ["`k`: the token of b (token 4, from 10ms to 20ms) is not above that of a (token 5, \
              from 0ns to 10ms)"]
        );
        let stands = [turn("a", "k", 5, 0, 10), turn("b", "k", 5, 10, 20)];
        assert_eq!(problems(&stands).len(), 1);
        let below_one_before =
            [turn("a", "k", 5, 0, 1), turn("b", "k", 3, 1, 2), turn("c", "k", 4, 2, 3)];
        assert_eq!(problems(&below_one_before).len(), 2);
    }

    #[test]
    fn keys_do_not_mix() {
        let turns = [turn("a", "k", 5, 0, 10), turn("b", "l", 4, 5, 20)];
        assert_eq!(problems(&turns), [""; 0]);
    }
}
