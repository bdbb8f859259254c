//! The turns that the applies took, by their own notes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// One apply's turn, in nanoseconds of the machine's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) name: String,
    /// The request that held the lock at the begin, by the server.
    pub(super) request: String,
    pub(super) begin: u64,
    /// None while it lasts.
    pub(super) end: Option<u64>,
}

/// Reads the notes: `begin NANOSECONDS NAME REQUEST` and `end NANOSECONDS NAME`.
pub(super) fn parse(notes: &str) -> Result<Vec<Turn>> {
    let mut turns: Vec<Turn> = Vec::new();
    for line in notes.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["begin", begin, name, request] => turns.push(Turn {
                name: name.to_owned(),
                request: request.to_owned(),
                begin: begin.parse()?,
                end: None,
            }),
            ["end", end, name] => {
                let turn = turns.iter_mut().find(|turn| turn.name == name);
                turn.context("an end without its begin")?.end = Some(end.parse()?);
            }
            _ => anyhow::bail!("an unknown note: {line}"),
        }
    }
    turns.sort_by_key(|turn| turn.begin);
    Ok(turns)
}

/// Checks that the turns were those of the queue, in its order, and that no two overlapped.
pub(super) fn check(turns: &[Turn], queue: &[String]) -> Result<()> {
    let order: Vec<_> = turns.iter().map(|turn| turn.request.as_str()).collect();
    ensure!(order == queue, "the order of the begins is {order:?}, of the queue {queue:?}");
    gaps(turns).map(drop)
}

/// Returns the times from each end to the next begin. In each of them an apply writes the state and
/// ends, and the next one is granted the lock, reads, plans and starts a program.
pub(super) fn gaps(turns: &[Turn]) -> Result<Vec<Duration>> {
    let gap = |pair: &[Turn]| {
        let [turn, next] = pair else { unreachable!("windows of two") };
        let end = turn.end.with_context(|| format!("{} has no end", turn.name))?;
        let gap = next.begin.checked_sub(end);
        let gap = gap.with_context(|| format!("{} and {} overlap", turn.name, next.name))?;
        Ok(Duration::from_nanos(gap))
    };
    turns.windows(2).map(gap).collect()
}

/// Describes some times: the middle one, the 95th of a hundred and the longest.
pub(super) fn figures(mut spans: Vec<Duration>) -> String {
    spans.sort_unstable();
    let at = |percent: usize| {
        let span = spans.get((spans.len() * percent).div_ceil(100).saturating_sub(1));
        span.map_or_else(|| "-".to_owned(), |span| format!("{:.1} ms", span.as_secs_f64() * 1e3))
    };
    format!("p50 {}, p95 {}, max {}", at(50), at(95), at(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(notes: &str, queue: &[&str]) -> Result<()> {
        let queue: Vec<_> = queue.iter().map(|&request| request.to_owned()).collect();
        check(&parse(notes)?, &queue)
    }

    #[test]
    fn turns_in_the_order_of_the_queue_are_accepted() {
        let notes = "begin 1 a A\nend 3 a\nbegin 7 b B\nend 9 b\n";
        checked(notes, &["A", "B"]).unwrap();
        assert_eq!(gaps(&parse(notes).unwrap()).unwrap(), [Duration::from_nanos(4)]);
    }

    #[test]
    fn figures_are_of_the_sorted_times() {
        let spans = (1..=20).rev().map(Duration::from_millis).collect();
        assert_eq!(figures(spans), "p50 10.0 ms, p95 19.0 ms, max 20.0 ms");
        assert_eq!(figures(Vec::new()), "p50 -, p95 -, max -");
    }

    #[test]
    fn overlaps_are_found() {
        let notes = "begin 1 a A\nbegin 2 b B\nend 3 a\nend 9 b\n";
        assert_eq!(checked(notes, &["A", "B"]).unwrap_err().to_string(), "a and b overlap");
        assert!(checked("begin 1 a A\nbegin 2 b B\nend 3 b\n", &["A", "B"]).is_err());
    }

    #[test]
    fn another_order_is_found() {
        let notes = "begin 1 a A\nend 3 a\nbegin 7 b B\nend 9 b\n";
        assert!(checked(notes, &["B", "A"]).is_err());
        assert!(checked(notes, &["A"]).is_err());
        assert!(checked(notes, &["A", "B", "C"]).is_err());
    }
}
