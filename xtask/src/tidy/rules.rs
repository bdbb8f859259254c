//! The map from each rule of the machine to its Rust, its Lua and its cases.

use super::{File, Tree, Violation};

const MAP: &str = "docs/rules.md";
const RULES: &str = "crates/lock-core/src/machine/mod.rs";
const RUST: &str = "crates/lock-core/src/machine/";
const LUA: &str = "crates/lock-redis/src/scripts/";
const CASES: &str = "crates/lock-testkit/src/cases/";

/// Every rule has a row, and every file, function and case in it exists.
pub(super) fn rules_and_map(tree: &Tree) -> Vec<Violation> {
    let (Some(map), Some(machine)) = (tree.file(MAP), tree.file(RULES)) else {
        return vec![Violation::new(MAP, 1, format!("it or {RULES} is missing"))];
    };
    let mut violations = Vec::new();
    let rules: Vec<u32> = machine.lines().filter_map(|(_, line)| rule(line)).collect();
    let rows: Vec<_> = map.lines().filter_map(row).collect();
    if rules.is_empty() {
        violations.push(Violation::new(RULES, 1, "the rules are not numbered from `//! 1. `"));
    }
    for rule in &rules {
        if rows.iter().filter(|row| row.rule == *rule).count() != 1 {
            let message = format!("rule {rule} has not one row");
            violations.push(Violation::new(MAP, 1, message));
        }
    }
    for row in rows {
        if !rules.contains(&row.rule) {
            let message = format!("the machine has no rule {}", row.rule);
            violations.push(Violation::new(MAP, row.line, message));
        }
        let columns: [(&str, Exists); 3] = [("Rust", is_rust), ("Lua", is_lua), ("case", is_case)];
        for ((what, exists), names) in columns.iter().zip(&row.names) {
            if names.is_empty() {
                let message = format!("rule {} has no {what}", row.rule);
                violations.push(Violation::new(MAP, row.line, message));
            }
            for name in names.iter().filter(|name| !exists(tree, name)) {
                let message = format!("{what} `{name}` does not exist");
                violations.push(Violation::new(MAP, row.line, message));
            }
        }
    }
    violations
}

/// Returns the number of the rule that a line of the machine's documentation begins.
fn rule(line: &str) -> Option<u32> {
    line.strip_prefix("//! ")?.split_once(". ")?.0.parse().ok()
}

/// A check that something of this name is in the project.
type Exists = fn(&Tree, &str) -> bool;

/// A row of the map.
struct Row<'a> {
    line: usize,
    rule: u32,
    /// Rust, Lua and cases.
    names: Vec<Vec<&'a str>>,
}

fn row((line, text): (usize, &str)) -> Option<Row<'_>> {
    let mut cells = text.strip_prefix('|')?.trim_end().strip_suffix('|')?.split('|');
    let rule = cells.next()?.trim().parse().ok()?;
    let mut names: Vec<Vec<_>> =
        cells.map(|cell| cell.split('`').skip(1).step_by(2).collect()).collect();
    names.resize_with(3, Vec::new);
    Some(Row { line, rule, names })
}

fn is_rust(tree: &Tree, name: &str) -> bool {
    has_function(tree, RUST, name, "fn ")
}

/// Returns `true` if the script exists, and its function if one is named.
fn is_lua(tree: &Tree, name: &str) -> bool {
    tree.file(&format!("{LUA}{name}")).is_some() || has_function(tree, LUA, name, "function ")
}

fn is_case(tree: &Tree, name: &str) -> bool {
    let Some((module, case)) = name.split_once("::") else { return false };
    // The parts of a module may have files of their own.
    let parts = [format!("{CASES}{module}.rs"), format!("{CASES}{module}/")];
    let mut files =
        tree.files.iter().filter(|it| it.path == parts[0] || it.path.starts_with(&parts[1]));
    files.any(|file| defines(file, "pub async fn ", case))
}

fn has_function(tree: &Tree, folder: &str, name: &str, word: &str) -> bool {
    let Some((path, function)) = name.split_once("::") else { return false };
    tree.file(&format!("{folder}{path}")).is_some_and(|file| defines(file, word, function))
}

fn defines(file: &File, word: &str, function: &str) -> bool {
    file.lines().any(|(_, line)| {
        let rest = line.split_once(word).and_then(|(_, rest)| rest.strip_prefix(function));
        rest.is_some_and(|rest| rest.starts_with(['(', '<']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(map: &str) -> Vec<String> {
        let tree = Tree::of(&[
            (RULES, "//! # The rules\n//! 1. **First.** Text.\n//! 2. **Second.**\nfn new() {}\n"),
            (MAP, map),
            ("crates/lock-redis/src/scripts/prelude/a.lua", "local function open(keys)\nend\n"),
            (
                "crates/lock-testkit/src/cases/clock.rs",
                "pub async fn ticks(context: TestContext) {}\n",
            ),
        ]);
        rules_and_map(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_whole_map_is_in_order() {
        let row = "`mod.rs::new` | `prelude/a.lua::open` `prelude/a.lua` | `clock::ticks` |\n";
        assert_eq!(found(&format!("# Map\n| 1 | {row}| 2 | {row}")), [""; 0]);
    }

    #[test]
    fn what_is_missing_is_found() {
        assert_eq!(
            found("| 1 | `mod.rs::old` | `prelude/a.lua::shut` | `clock::tick` |\n| 3 | | | |\n"),
            [
                "docs/rules.md:1: rule 2 has not one row",
                "docs/rules.md:1: Rust `mod.rs::old` does not exist",
                "docs/rules.md:1: Lua `prelude/a.lua::shut` does not exist",
                "docs/rules.md:1: case `clock::tick` does not exist",
                "docs/rules.md:2: the machine has no rule 3",
                "docs/rules.md:2: rule 3 has no Rust",
                "docs/rules.md:2: rule 3 has no Lua",
                "docs/rules.md:2: rule 3 has no case",
            ]
        );
    }
}
