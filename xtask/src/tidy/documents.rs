//! The changelog, the licences, the records of decisions, and the tests that documents name.

use std::collections::HashSet;

use super::{Tree, Violation};

const MAX_DECISION_LINES: usize = 60;

/// The changelog begins with what is not released yet.
pub(super) fn changelog(tree: &Tree) -> Vec<Violation> {
    const PATH: &str = "CHANGELOG.md";
    let Some(file) = tree.file(PATH) else {
        return vec![Violation::new(PATH, 1, "the file is missing")];
    };
    let first = file.lines().find(|(_, line)| line.starts_with("## "));
    match first {
        Some((_, "## [Unreleased]")) => Vec::new(),
        other => {
            let line = other.map_or(1, |(number, _)| number);
            vec![Violation::new(PATH, line, "`## [Unreleased]` is not the first section")]
        }
    }
}

/// The workspace names its licence, and the texts are there.
pub(super) fn licence(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let manifest = tree.file("Cargo.toml").map_or("", |file| &file.text);
    let package = manifest.split("[workspace.package]").nth(1).unwrap_or_default();
    let package = package.split("\n[").next().unwrap_or_default();
    if !package.lines().any(|line| line.starts_with("license = \"")) {
        violations.push(Violation::new("Cargo.toml", 1, "workspace.package has no license"));
    }
    for path in ["LICENSE-MIT", "LICENSE-APACHE"] {
        if tree.file(path).is_none() {
            violations.push(Violation::new(path, 1, "the file is missing"));
        }
    }
    violations
}

/// The decisions are numbered 0001, 0002 … and short.
pub(super) fn decisions(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut files: Vec<_> = tree.below("docs/adr/", "md").collect();
    files.sort_by_key(|file| &file.path);
    for (index, file) in files.into_iter().enumerate() {
        let prefix = format!("docs/adr/{:04}-", index + 1);
        if !file.path.starts_with(&prefix) {
            let message = format!("the next decision's name begins with {prefix}");
            violations.push(Violation::new(&file.path, 1, message));
        }
        let lines = file.lines().count();
        if lines > MAX_DECISION_LINES {
            let message = format!("{lines} lines, more than {MAX_DECISION_LINES}");
            violations.push(Violation::new(&file.path, MAX_DECISION_LINES + 1, message));
        }
    }
    violations
}

/// Every test that a document names by `module::test` exists. The changelog may name former ones.
pub(super) fn tests_named(tree: &Tree) -> Vec<Violation> {
    let sources = tree.files.iter().filter(|file| file.has_extension(&["rs"]));
    let functions: HashSet<&str> = sources
        .flat_map(|file| file.text.split("fn ").skip(1))
        .map(|rest| rest.split(|c: char| !is_of_a_name(c)).next().unwrap_or_default())
        .collect();
    let documents = tree.files.iter().filter(|file| file.has_extension(&["md"]));
    let documents = documents.filter(|file| file.path != "CHANGELOG.md");
    let mut violations = Vec::new();
    for document in documents {
        for (line, text) in document.lines() {
            let tests = text.split('`').skip(1).step_by(2).filter_map(test);
            let missing = tests.filter(|name| !functions.contains(name));
            violations.extend(missing.map(|name| {
                Violation::new(&document.path, line, format!("there is no test {name}"))
            }));
        }
    }
    violations
}

/// The name of a test, which is a sentence of lower-case words behind its module.
fn test(code: &str) -> Option<&str> {
    let (_, name) = code.rsplit_once("::")?;
    let is_sentence = name.matches('_').count() >= 3 && name.chars().all(is_of_a_name);
    (is_sentence && name == name.to_lowercase()).then_some(name)
}

fn is_of_a_name(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelog_without_unreleased_on_top_is_found() {
        let found = |text| changelog(&Tree::of(&[("CHANGELOG.md", text)])).len();
        assert_eq!(found("# Changelog\n\n## [Unreleased]\n\n## [0.1.0]\n"), 0);
        assert_eq!(found("# Changelog\n\n## [0.1.0]\n\n## [Unreleased]\n"), 1);
        assert_eq!(found("# Changelog\n"), 1);
        assert_eq!(changelog(&Tree::default()).len(), 1);
    }

    #[test]
    fn a_missing_licence_is_found() {
        let named = ("Cargo.toml", "[workspace.package]\nlicense = \"MIT\"\n\n[a]\n");
        let elsewhere = ("Cargo.toml", "[workspace.package]\n\n[a]\nlicense = \"MIT\"\n");
        let texts = [("LICENSE-MIT", "a"), ("LICENSE-APACHE", "b")];
        assert_eq!(licence(&Tree::of(&[named, texts[0], texts[1]])), []);
        assert_eq!(licence(&Tree::of(&[elsewhere, texts[0], texts[1]])).len(), 1);
        assert_eq!(licence(&Tree::of(&[named, texts[0]])).len(), 1);
    }

    #[test]
    fn a_gap_in_the_decisions_is_found() {
        let found: Vec<_> =
            decisions(&Tree::of(&[("docs/adr/0001-a.md", ""), ("docs/adr/0003-b.md", "")]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "docs/adr/0003-b.md");
    }

    #[test]
    fn a_long_decision_is_found() {
        let long = "a\n".repeat(MAX_DECISION_LINES + 1);
        assert_eq!(decisions(&Tree::of(&[("docs/adr/0001-a.md", &long)])).len(), 1);
    }

    #[test]
    fn test_that_does_not_exist_is_found() {
        let found = |text| {
            let source = "async fn lost_notice_costs_a_heartbeat() {}";
            let files = [("docs/a.md", text), ("crates/b/tests/c.rs", source)];
            tests_named(&Tree::of(&files)).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found("`b/c::lost_notice_costs_a_heartbeat`, `io::Error`"), [""; 0]);
        let text = "one\n`b/c::lost_notice_costs_nothing_more`";
        let expected = "docs/a.md:2: there is no test lost_notice_costs_nothing_more";
        assert_eq!(found(text), [expected]);
    }
}
