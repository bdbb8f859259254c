//! The table of legacy names: it names every legacy test, and every test that it names exists.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const TABLE: &str = include_str!("../docs/names.md");
const DIFFERENCES: &str = include_str!("../docs/differences.md");

/// The cells of each row, without their marks. A row ends with a test; the heads of tables do not.
fn rows(table: &str) -> Vec<Vec<String>> {
    let rows = table.lines().filter(|line| line.starts_with("| ") && line.ends_with("` |"));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    rows.map(cells).collect()
}

/// The names of all functions below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let name = |line: &str| {
                let rest = line.trim_start().split_once("fn ")?.1;
                Some(rest.split(['(', '<']).next()?.to_owned())
            };
            found.extend(text.lines().filter_map(name));
        }
    }
}

#[test]
fn every_named_test_exists() {
    let mut found = BTreeSet::new();
    functions(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut found);
    let rows = rows(TABLE);
    assert!(rows.len() > 140, "{}", rows.len());
    for row in rows {
        let test = row.last().unwrap();
        assert!(found.contains(test), "{row:?}");
    }
}

/// Numbers of the tests of Atlantis, and of the methods of its store.
#[test]
fn every_legacy_name_is_in_the_table() {
    let section = |title: &str| {
        let (_, rest) = TABLE.split_once(title).unwrap();
        let section = rest.split("\n# ").next().unwrap();
        rows(section).into_iter().map(|row| row[0].clone()).collect::<BTreeSet<_>>().len()
    };
    let sections = [
        ("# Atlantis' `locking.Backend`", 15),
        ("# The layers above", 9),
        ("# Tests of `redis_test.go`", 40),
        ("# Tests of `boltdb_test.go`", 36),
        ("# Tests of `locking_test.go`", 26),
    ];
    for (title, expected) in sections {
        assert_eq!(section(title), expected, "{title}");
    }
}

#[test]
fn every_difference_has_a_reason() {
    let rows: Vec<_> = DIFFERENCES.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 15, "{}", rows.len());
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 4 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
    }
}
