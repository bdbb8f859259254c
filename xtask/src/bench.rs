//! `bench`: measures, and compares with the targets.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xshell::Cmd;

use crate::redis;
use crate::sh::{Sh, files_below};

/// A benchmark that can be asked for.
#[derive(Debug)]
struct Suite {
    name: &'static str,
    package: &'static str,
    bench: &'static str,
    judge: Judge,
}

/// The party that compares the figures with the targets.
#[derive(Debug)]
enum Judge {
    /// This program, by what criterion leaves in its folder.
    Here(&'static [Figure]),
    /// The benchmark, which prints its own tables and figures.
    Itself,
    /// The benchmark, which needs a Redis and prints its own tables and figures.
    Redis,
}

/// A ratio of two medians that may not pass its target.
#[derive(Debug)]
struct Figure {
    name: &'static str,
    numerator: &'static str,
    denominator: &'static str,
    target: f64,
}

/// The contestant that the others are compared with.
const BASELINE: &str = "lockable";
/// The segment of a benchmark's id that is replaced to find its baseline.
const CONTESTANTS: [&str; 5] = ["trait", "guard", BASELINE, "keyed-lock", "dashmap-mutex"];

/// The package of the benchmarks that need no program of another.
const BENCHES: &str = "lock-benches";

const SUITES: &[Suite] = &[
    Suite { name: "memory", package: BENCHES, bench: "memory", judge: Judge::Here(MEMORY) },
    Suite { name: "held", package: BENCHES, bench: "held", judge: Judge::Itself },
    Suite { name: "sqlite", package: BENCHES, bench: "sqlite", judge: Judge::Itself },
    Suite { name: "cli", package: "lock-cli", bench: "cli", judge: Judge::Itself },
    Suite { name: "serve", package: BENCHES, bench: "serve", judge: Judge::Itself },
    Suite { name: "redis", package: BENCHES, bench: "redis", judge: Judge::Redis },
    Suite { name: "door", package: BENCHES, bench: "door", judge: Judge::Redis },
    Suite { name: "compat", package: BENCHES, bench: "compat", judge: Judge::Redis },
];

/// Tells a benchmark to keep its tables and charts.
const CHARTS: &str = "LOCK_BENCH_CHARTS";

const MEMORY: &[Figure] = &[
    Figure {
        name: "pair.trait.1-key.1-thread",
        numerator: "pair/1-key/1-thread/trait",
        denominator: "pair/1-key/1-thread/lockable",
        target: 1.0,
    },
    Figure {
        name: "pair.trait.1-key.2-threads",
        numerator: "pair/1-key/2-threads/trait",
        denominator: "pair/1-key/2-threads/lockable",
        target: 1.5,
    },
    Figure {
        name: "pair.trait.10000-keys.1-thread",
        numerator: "pair/10000-keys/1-thread/trait",
        denominator: "pair/10000-keys/1-thread/lockable",
        target: 1.0,
    },
    Figure {
        name: "pair.trait.10000-keys.2-threads",
        numerator: "pair/10000-keys/2-threads/trait",
        denominator: "pair/10000-keys/2-threads/lockable",
        target: 1.5,
    },
    Figure {
        name: "pair.guard.1-key.1-thread",
        numerator: "pair/1-key/1-thread/guard",
        denominator: "pair/1-key/1-thread/lockable",
        target: 4.0,
    },
    Figure {
        name: "pair.guard.1-key.2-threads",
        numerator: "pair/1-key/2-threads/guard",
        denominator: "pair/1-key/2-threads/lockable",
        target: 4.0,
    },
    Figure {
        name: "pair.guard.10000-keys.1-thread",
        numerator: "pair/10000-keys/1-thread/guard",
        denominator: "pair/10000-keys/1-thread/lockable",
        target: 4.0,
    },
    Figure {
        name: "pair.guard.10000-keys.2-threads",
        numerator: "pair/10000-keys/2-threads/guard",
        denominator: "pair/10000-keys/2-threads/lockable",
        target: 4.0,
    },
    // A hand-off may not cost more because more are waiting.
    Figure {
        name: "handoff.flat",
        numerator: "handoff/trait/10000",
        denominator: "handoff/trait/10",
        target: 1.5,
    },
];

/// Nanoseconds by benchmark id.
type Medians = BTreeMap<String, f64>;

/// Runs a benchmark, and prints a table for people and the figures for scripts.
pub(crate) fn run(sh: &Sh, name: &str, charts: bool) -> Result<()> {
    let Some(suite) = SUITES.iter().find(|suite| suite.name == name) else {
        let names: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        bail!("no benchmark {name}; there is: {}", names.join(", "));
    };
    let bench = sh.cargo(&["bench", "--package", suite.package, "--bench", suite.bench]);
    match suite.judge {
        Judge::Here(figures) => compare(sh, &bench, figures),
        Judge::Itself => Ok(bench.run()?),
        Judge::Redis => {
            redis::run(sh)?;
            Ok(bench.env(CHARTS, if charts { "1" } else { "0" }).run()?)
        }
    }
}

/// Lets criterion measure, and prints what came of it.
fn compare(sh: &Sh, bench: &Cmd<'_>, figures: &[Figure]) -> Result<()> {
    let dir = sh.metadata()?.target_directory.join("criterion");
    forget(dir.as_std_path())?;
    bench.run()?;
    let medians = medians(dir.as_std_path())?;
    print!("{}", table(&medians));
    let mut missing = Vec::new();
    for figure in figures {
        match figure_line(figure, &medians) {
            Some(line) => println!("{line}"),
            None => missing.push(figure.name),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!("not measured: {}", missing.join(", "))
}

/// Removes the results of the last run, so that none of them passes for a new one.
///
/// Criterion compares with a copy, which stays.
fn forget(dir: &Path) -> Result<()> {
    for file in files_below(dir, &[])? {
        if file.parent().is_some_and(|folder| folder.ends_with("new")) {
            fs::remove_file(&file).with_context(|| file.display().to_string())?;
        }
    }
    Ok(())
}

/// Reads every result below criterion's folder.
fn medians(dir: &Path) -> Result<Medians> {
    let mut medians = Medians::new();
    for benchmark in files_below(dir, &[])? {
        if !benchmark.ends_with("new/benchmark.json") {
            continue;
        }
        let estimates = benchmark.with_file_name("estimates.json");
        let read =
            |path: &Path| fs::read_to_string(path).with_context(|| path.display().to_string());
        let result = measurement(&read(&benchmark)?, &read(&estimates)?);
        let (id, median) = result.with_context(|| benchmark.display().to_string())?;
        medians.insert(id, median);
    }
    Ok(medians)
}

/// Reads the id of a benchmark and its median.
fn measurement(benchmark: &str, estimates: &str) -> Result<(String, f64)> {
    let benchmark: Value = serde_json::from_str(benchmark)?;
    let estimates: Value = serde_json::from_str(estimates)?;
    let id = benchmark["full_id"].as_str().context("full_id is missing")?;
    let median = estimates["median"]["point_estimate"].as_f64().context("median is missing")?;
    Ok((id.to_owned(), median))
}

/// Returns the id of the baseline that a benchmark is compared with.
fn baseline(id: &str) -> String {
    let replace = |segment| if CONTESTANTS.contains(&segment) { BASELINE } else { segment };
    id.split('/').map(replace).collect::<Vec<_>>().join("/")
}

/// Aligns the measurements under their titles.
fn table(medians: &Medians) -> String {
    let width = medians.keys().map(String::len).max().unwrap_or_default().max("benchmark".len());
    let mut table = format!("{:width$}  {:>12}  {:>8}\n", "benchmark", "median ns", "ratio");
    for (id, median) in medians {
        let ratio = medians.get(&baseline(id)).map(|base| format!("{:.2}", median / base));
        let ratio = ratio.unwrap_or_else(|| "-".to_owned());
        table.push_str(&format!("{id:width$}  {median:>12.1}  {ratio:>8}\n"));
    }
    table
}

/// Writes a figure as `figure NAME VALUE TARGET ok|short`; nothing where a benchmark is missing.
fn figure_line(figure: &Figure, medians: &Medians) -> Option<String> {
    let value = medians.get(figure.numerator)? / medians.get(figure.denominator)?;
    let verdict = if value <= figure.target { "ok" } else { "short" };
    Some(format!("figure {} {value:.3} {:.3} {verdict}", figure.name, figure.target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(pairs: &[(&str, f64)]) -> Medians {
        pairs.iter().map(|&(id, median)| (id.to_owned(), median)).collect()
    }

    const FIGURE: Figure =
        Figure { name: "a.b", numerator: "a/trait", denominator: "a/lockable", target: 1.5 };

    #[test]
    fn the_files_of_criterion_are_read() {
        let benchmark = r#"{"group_id":"pair","function_id":"x","value_str":null,
            "full_id":"pair/1-key/1-thread/trait","directory_name":"pair_1-key/trait"}"#;
        let estimates = r#"{"mean":{"point_estimate":9.0},
            "median":{"confidence_interval":{"lower_bound":1.0},"point_estimate":41.5}}"#;
        let (id, median) = measurement(benchmark, estimates).unwrap();
        assert_eq!((id.as_str(), median), ("pair/1-key/1-thread/trait", 41.5));
        assert!(measurement("{}", estimates).is_err());
        assert!(measurement(benchmark, "{}").is_err());
    }

    #[test]
    fn the_baseline_stands_in_the_contestants_place() {
        assert_eq!(baseline("pair/1-key/1-thread/guard"), "pair/1-key/1-thread/lockable");
        assert_eq!(baseline("handoff/keyed-lock/10"), "handoff/lockable/10");
        assert_eq!(baseline("other/1"), "other/1");
    }

    #[test]
    fn the_table_is_aligned() {
        let medians =
            measured(&[("a/guard", 30.0), ("a/lockable", 20.0), ("handoff/trait/2", 7.0)]);
        let expected = [
            "benchmark           median ns     ratio",
            "a/guard                  30.0      1.50",
            "a/lockable               20.0      1.00",
            "handoff/trait/2           7.0         -",
        ];
        assert_eq!(table(&medians).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_figure_is_ok_up_to_its_target() {
        let line = |numerator| {
            figure_line(&FIGURE, &measured(&[("a/trait", numerator), ("a/lockable", 2.0)]))
        };
        assert_eq!(line(3.0).as_deref(), Some("figure a.b 1.500 1.500 ok"));
        assert_eq!(line(3.1).as_deref(), Some("figure a.b 1.550 1.500 short"));
    }

    #[test]
    fn a_figure_needs_both_its_benchmarks() {
        assert_eq!(figure_line(&FIGURE, &measured(&[("a/trait", 1.0)])), None);
    }

    #[test]
    fn figures_compare_a_setting_with_itself() {
        for figure in MEMORY.iter().filter(|figure| figure.name.starts_with("pair.")) {
            assert_eq!(baseline(figure.numerator), figure.denominator, "{}", figure.name);
            let name = figure.name.replacen('.', "/", 1);
            let (pair, rest) = name.split_once('/').unwrap();
            let (contestant, setting) = rest.split_once('.').unwrap();
            let id = format!("{pair}/{}/{contestant}", setting.replace('.', "/"));
            assert_eq!(figure.numerator, id);
        }
    }
}
