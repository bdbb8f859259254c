//! `instructions`: what a turn of the memory store costs, counted and compared with stored numbers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::sh::Sh;
use crate::test::Tally;

/// The work that is counted. The first is a peer's, for comparison.
const CASES: [&str; 6] = ["lockable", "pair", "guard", "drop", "handoff-10", "handoff-10000"];
/// The turns of the shorter and of the longer run, whose difference is counted.
const TURNS: (u64, u64) = (2_000, 6_000);
/// By how many hundredths a count may differ from the stored one.
const TOLERANCE: u64 = 5;
/// Where the counts are stored, below the workspace's root.
const STORED: &str = "docs/bench/instructions.txt";

/// The instructions of one turn, by case.
type Counts = BTreeMap<String, u64>;

/// Counts, and compares with the stored numbers or stores them.
pub(crate) fn run(sh: &Sh, bless: bool) -> Result<Tally> {
    if !sh.works("valgrind", &["--version"]) {
        println!("skipped: instructions: valgrind is not installed");
        return Ok(Tally { skipped: 1, ..Tally::default() });
    }
    let passed = Tally { passed: 1, ..Tally::default() };
    sh.cargo(&["build", "--release", "--package", "instructions"]).run()?;
    let counts = CASES.iter().map(|case| Ok(((*case).to_owned(), count(sh, case)?)));
    let counts = counts.collect::<Result<Counts>>()?;
    let stored = sh.root().join(STORED);
    if bless {
        fs::write(&stored, write(&counts)).context(STORED)?;
        print!("{}", write(&counts));
        return Ok(passed);
    }
    let before = read(&fs::read_to_string(&stored).context(STORED)?)?;
    let differences = compare(&before, &counts);
    ensure!(
        differences.is_empty(),
        "counts differ from {STORED} by more than {TOLERANCE} %; if that is meant, \
         `cargo xtask instructions --bless`:\n{}",
        differences.join("\n")
    );
    print!("{}", write(&counts));
    Ok(passed)
}

/// The instructions of one turn.
fn count(sh: &Sh, case: &str) -> Result<u64> {
    let (fewer, more) = TURNS;
    let difference = total(sh, case, more)?.saturating_sub(total(sh, case, fewer)?);
    Ok(difference / (more - fewer))
}

/// The instructions of a whole run.
fn total(sh: &Sh, case: &str, turns: u64) -> Result<u64> {
    let (program, turns) = ("target/release/instructions", turns.to_string());
    let tool = ["--tool=callgrind", "--callgrind-out-file=/dev/null", program, case, &turns];
    let said = sh.tool("valgrind", &tool).quiet().read_stderr()?;
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let (_, number) = collected.with_context(|| format!("no count of {case}"))?;
    Ok(number.trim().parse()?)
}

fn write(counts: &Counts) -> String {
    let mut text = "# Instructions of one turn of the memory store; written by `cargo xtask \
                    instructions --bless`.\n"
        .to_owned();
    for case in CASES {
        if let Some(count) = counts.get(case) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{case} {count}");
        }
    }
    text
}

fn read(text: &str) -> Result<Counts> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &str| {
        let (case, count) = line.split_once(' ').with_context(|| format!("`{line}`"))?;
        Ok((case.to_owned(), count.parse()?))
    };
    lines.map(read).collect()
}

/// The counts that differ too much, in words.
fn compare(before: &Counts, now: &Counts) -> Vec<String> {
    let differs = |(case, now): (&String, &u64)| {
        let Some(before) = before.get(case) else { return Some(format!("{case}: not stored")) };
        let is_close = now.abs_diff(*before) * 100 <= before * TOLERANCE;
        (!is_close).then(|| format!("{case}: {now} instructions, {before} stored"))
    };
    now.iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs.iter().map(|(case, count)| ((*case).to_owned(), *count)).collect()
    }

    #[test]
    fn counts_are_read_as_they_were_written() {
        let stored = counts(&[("pair", 2000), ("guard", 6000)]);
        assert_eq!(read(&write(&stored)).unwrap(), stored);
    }

    #[test]
    fn slower_and_faster_turns_are_reported() {
        let stored = counts(&[("pair", 2000)]);
        for (now, is_told) in [(1899, true), (1900, false), (2100, false), (2101, true)] {
            assert_eq!(!compare(&stored, &counts(&[("pair", now)])).is_empty(), is_told, "{now}");
        }
        assert_eq!(compare(&stored, &counts(&[("drop", 1)])), ["drop: not stored"]);
    }
}
