//! `test`: tests and doctests, summed up in one line.

use std::fmt;
use std::fs;
use std::io;
use std::ops::Add;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use xshell::Cmd;

use crate::redis;
use crate::sh::{Sh, Transcript, section, watched};

/// The variable that names the file to which each skipped case adds a line: the runners count it
/// as passed and hide what it prints.
const SKIPPED: &str = "LOCK_SKIPPED";

/// The numbers of tests that passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// One failure: a step that is not a test.
    pub(crate) const FAILED_STEP: Self = Self { passed: 0, failed: 1, skipped: 0 };
    /// A step that could not be made on this machine.
    pub(crate) const SKIPPED_STEP: Self = Self { passed: 0, failed: 0, skipped: 1 };

    /// Prints the line that every run ends with, and returns the exit code that goes with it.
    pub(crate) fn conclude(self) -> ExitCode {
        println!("{self}");
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Counts at least one failure unless the program succeeded.
    fn or_failed_unless(self, success: bool) -> Self {
        if success { self } else { Self { failed: self.failed.max(1), ..self } }
    }

    /// Counts this many apart that passed in the eyes of the runner.
    fn of_which_skipped(self, skipped: u64) -> Self {
        Self { passed: self.passed.saturating_sub(skipped), skipped, ..self }
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Runs the tests and the doctests, both even if the first fail.
pub(crate) fn run(sh: &Sh) -> ExitCode {
    let tests = section("test", || tests(sh));
    let doctests = section("doctests", || doctests(sh));
    (tests + doctests).conclude()
}

/// Runs the tests that start a Redis, with a server of Valkey in its place.
pub(crate) fn run_on_valkey(sh: &Sh) -> ExitCode {
    const SCOPE: &[&str] = &[
        "--package",
        "lock-atlantis",
        "--package",
        "lock-compat",
        "--package",
        "lock-redis",
        "--package",
        "lock-testkit",
    ];
    let tally = section("test --valkey", || match redis::valkey(sh) {
        Ok(server) => tests_of(sh, SCOPE, |cmd| cmd.env(redis::SERVER, &server)),
        Err(error) => failed(&error),
    });
    tally.conclude()
}

/// Runs a third of the conformance suite and the liveness of the store in Redis, with a server of Valkey
/// in its place. [`run_on_valkey`] runs everything.
pub(crate) fn valkey(sh: &Sh) -> Tally {
    // The whole workspace is built already.
    const SCOPE: &[&str] = &[
        "--workspace",
        "--filterset",
        "package(lock-redis) & (binary(conformance) | binary(liveness))",
        "--partition",
        "hash:1/3",
    ];
    match redis::valkey(sh) {
        Ok(server) => tests_of(sh, SCOPE, |cmd| cmd.env(redis::SERVER, &server)),
        Err(error) => {
            println!("skipped: valkey: {error:#}");
            Tally::SKIPPED_STEP
        }
    }
}

/// Runs everything but the doctests.
pub(crate) fn tests(sh: &Sh) -> Tally {
    tests_of(sh, &["--workspace"], |cmd| cmd)
}

fn tests_of<'a>(sh: &'a Sh, scope: &[&str], adapt: impl FnOnce(Cmd<'a>) -> Cmd<'a>) -> Tally {
    let path = match fresh_file(sh) {
        Ok(path) => path,
        Err(error) => return failed(&error),
    };
    let tally = run_tests(sh, scope, |cmd| adapt(cmd).env(SKIPPED, &path));
    match skipped(&path) {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            tally.of_which_skipped(lines.len() as u64)
        }
        Err(error) => tally + failed(&error),
    }
}

/// Returns the path of a file for skipped cases, which does not exist yet.
fn fresh_file(sh: &Sh) -> Result<PathBuf> {
    let folder = sh.metadata()?.target_directory.into_std_path_buf();
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let path = folder.join("skipped-cases.txt");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(path),
    }
}

/// Returns the lines of the cases that were skipped: `skipped: module::case: reason`.
fn skipped(path: &Path) -> Result<Vec<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn run_tests<'a>(sh: &'a Sh, scope: &[&str], adapt: impl FnOnce(Cmd<'a>) -> Cmd<'a>) -> Tally {
    if sh.works("cargo", &["nextest", "--version"]) {
        let cmd = sh.cargo(&["nextest", "run", "--all-features"]).args(scope);
        return counted(watched(adapt(cmd)), |said| nextest_tally(&said.stderr));
    }
    let all: &[_] = &["--lib", "--bins", "--tests", "--examples"];
    let targets = if scope.contains(&"--test") { &[] } else { all };
    let cmd = sh.cargo(&["test", "--all-features", "--no-fail-fast"]).args(scope).args(targets);
    counted(watched(adapt(cmd)), |said| libtest_tally(&said.stdout))
}

/// Runs the doctests.
pub(crate) fn doctests(sh: &Sh) -> Tally {
    let cmd = sh.cargo(&["test", "--doc", "--workspace", "--all-features", "--no-fail-fast"]);
    counted(watched(cmd), |said| libtest_tally(&said.stdout))
}

fn counted(said: Result<Transcript>, count: impl FnOnce(&Transcript) -> Tally) -> Tally {
    match said {
        Ok(said) => count(&said).or_failed_unless(said.success),
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> Tally {
    eprintln!("error: {error:#}");
    Tally::FAILED_STEP
}

/// Reads nextest's summary: `Summary [ 1.2s] 3 tests run: 2 passed (1 slow), 1 failed, 4 skipped`.
fn nextest_tally(stderr: &str) -> Tally {
    let plain = without_escapes(stderr);
    let summary = plain.lines().rev().map(str::trim).find(|line| line.starts_with("Summary ["));
    let Some((_, counts)) = summary.and_then(|line| line.split_once(" run: ")) else {
        return Tally::default();
    };
    let mut tally = Tally::default();
    for (number, word) in without_parentheses(counts).split(',').filter_map(numbered) {
        match word {
            "passed" => tally.passed += number,
            "skipped" => {}
            // failed, timed out, exec failed: whatever did not pass and was not left out.
            _ => tally.failed += number,
        }
    }
    tally
}

/// Sums the summaries of libtest: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn libtest_tally(stdout: &str) -> Tally {
    let plain = without_escapes(stdout);
    let mut tally = Tally::default();
    for line in plain.lines().filter_map(|line| line.strip_prefix("test result: ")) {
        let counts = line.split_once(". ").map_or("", |(_, counts)| counts);
        for (number, word) in counts.split(';').filter_map(numbered) {
            match word {
                "passed" => tally.passed += number,
                "failed" => tally.failed += number,
                _ => {}
            }
        }
    }
    tally
}

/// Reads `3 passed` as 3 and `passed`.
fn numbered(text: &str) -> Option<(u64, &str)> {
    let (number, word) = text.trim().split_once(' ')?;
    Some((number.parse().ok()?, word.trim()))
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0_usize;
    text.chars()
        .filter(|&c| {
            match c {
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect()
}

/// Drops the colours, which stand even in a pipe if the environment asks for them.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        if escaped {
            escaped = !c.is_ascii_alphabetic();
        } else if c == '\u{1b}' {
            escaped = true;
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_nextest_is_read() {
        let said = "  PASS [ 0.01s] a\n     Summary [  12.340s] 5/9 tests run: 2 passed (1 slow, \
                    1 leaky), 1 failed, 1 timed out, 1 exec failed, 4 skipped\n  FAIL a b\n";
        assert_eq!(nextest_tally(said), Tally { passed: 2, failed: 3, skipped: 0 });
    }

    #[test]
    fn colours_do_not_hide_the_summary() {
        let said = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.005s] \u{1b}[1m1\u{1b}[0m test run: \
                    \u{1b}[1m1\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m skipped";
        assert_eq!(nextest_tally(said), Tally { passed: 1, failed: 0, skipped: 0 });
    }

    #[test]
    fn the_summaries_of_libtest_are_added_up() {
        let said = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                    test result: FAILED. 1 passed; 2 failed; 0 ignored; finished in 0.00s\n";
        assert_eq!(libtest_tally(said), Tally { passed: 4, failed: 2, skipped: 0 });
    }

    #[test]
    fn a_run_that_broke_before_its_summary_counts_as_a_failure() {
        assert_eq!(nextest_tally("error: could not compile").or_failed_unless(false).failed, 1);
        assert_eq!(libtest_tally("").or_failed_unless(true), Tally::default());
        let two = Tally { passed: 1, failed: 2, skipped: 0 };
        assert_eq!(two.or_failed_unless(false), two);
    }

    #[test]
    fn the_last_line_has_its_exact_form() {
        let tally = Tally { passed: 15, failed: 0, skipped: 0 }.of_which_skipped(3);
        assert_eq!(tally.to_string(), "12 passed, 0 failed, 3 skipped");
    }

    #[test]
    fn skipped_cases_are_read_line_by_line() {
        let folder = std::env::temp_dir().join(format!("skipped-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("cases.txt");
        assert_eq!(skipped(&path).unwrap(), [""; 0]);
        fs::write(&path, "skipped: a::b: no time\nskipped: a::c: no time\n").unwrap();
        assert_eq!(skipped(&path).unwrap().len(), 2);
        fs::remove_dir_all(&folder).unwrap();
    }
}
