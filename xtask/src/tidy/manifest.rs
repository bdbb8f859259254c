//! Checks that a crate takes its metadata, lints and dependencies from the workspace.

use super::{File, Tree, Violation};

/// One `key = value` of a manifest.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    line: usize,
    section: String,
    key: String,
    value: String,
}

/// Every crate takes the data that are the same for all from the workspace.
pub(super) fn inherited_package(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.manifests() {
        let entries = entries(&file.text);
        for field in ["version", "edition", "rust-version", "license"] {
            if !inherits(&entries, "package", field) {
                let message = format!("package: `{field}.workspace = true` is missing");
                violations.push(Violation::new(&file.path, 1, message));
            }
        }
    }
    violations
}

/// Every crate is held to the workspace's lints.
pub(super) fn inherited_lints(tree: &Tree) -> Vec<Violation> {
    let own = |file: &&File| {
        !entries(&file.text)
            .iter()
            .any(|it| it.section == "lints" && it.key == "workspace" && it.value == "true")
    };
    let message = "lints: `workspace = true` is missing";
    tree.manifests().filter(own).map(|file| Violation::new(&file.path, 1, message)).collect()
}

/// Every dependency has its version in the workspace.
pub(super) fn inherited_dependencies(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.manifests() {
        let entries = entries(&file.text);
        for entry in &entries {
            let Some(name) = dependency(entry) else { continue };
            let mut said = entries
                .iter()
                .filter(|other| other.section == entry.section && dependency(other) == Some(name));
            let fine =
                said.any(|it| says_workspace(it) || is_left_out(it) || is_the_crate_itself(it));
            if !fine {
                let message = format!("{name}: `workspace = true` is missing");
                violations.push(Violation::new(&file.path, entry.line, message));
            }
        }
    }
    violations
}

/// Returns the line on which a manifest first speaks of a dependency.
pub(super) fn line_of(text: &str, name: &str) -> usize {
    let entries = entries(text);
    entries.iter().find(|entry| dependency(entry) == Some(name)).map_or(1, |entry| entry.line)
}

fn inherits(entries: &[Entry], section: &str, field: &str) -> bool {
    entries.iter().filter(|entry| entry.section == section).any(|entry| {
        let name = entry.key.split('.').next();
        name == Some(field) && says_workspace(entry)
    })
}

/// Reads `a.workspace = true`, `a = { workspace = true }` and, in a section of a's, `workspace = true`.
fn says_workspace(entry: &Entry) -> bool {
    format!("{}={}", entry.key, entry.value).replace(' ', "").contains("workspace=true")
}

/// A version would make cargo want the testkit published before lock-memory, and the reverse; a path
/// alone is left out of the package.
fn is_left_out(entry: &Entry) -> bool {
    entry.section == "dev-dependencies"
        && entry.value.contains("path = \"../")
        && !entry.value.contains("version")
}

/// A crate gives its own tests a feature so; a version would make cargo look for it elsewhere.
fn is_the_crate_itself(entry: &Entry) -> bool {
    entry.section == "dev-dependencies"
        && entry.value.contains("path = \".\"")
        && !entry.value.contains("version")
}

/// Returns the dependency that an entry speaks of.
fn dependency(entry: &Entry) -> Option<&str> {
    let (_, rest) = entry.section.rsplit_once("dependencies")?;
    match rest.strip_prefix('.') {
        Some(name) => Some(name),
        None => entry.key.split('.').next(),
    }
}

/// Reads the part of TOML that manifests are written in.
fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut section = String::new();
    let mut depth = 0;
    for (index, line) in text.lines().enumerate() {
        let (code, change) = code(line);
        let code = code.trim();
        if depth > 0 {
            if let Some(entry) = entries.last_mut() {
                entry.value.push_str(code);
            }
            depth += change;
        } else if code.starts_with('[') {
            code.trim_matches(['[', ']']).trim().clone_into(&mut section);
        } else if let Some((key, value)) = code.split_once('=') {
            entries.push(Entry {
                line: index + 1,
                section: section.clone(),
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
            });
            depth = change;
        }
    }
    entries
}

/// Returns a line without its comment, and by how much it opens or closes brackets.
fn code(line: &str) -> (&str, i32) {
    let mut quoted = None;
    let mut change = 0;
    for (at, c) in line.char_indices() {
        match (quoted, c) {
            (Some(quote), c) if quote == c => quoted = None,
            (None, '"' | '\'') => quoted = Some(c),
            (None, '[' | '{') => change += 1,
            (None, ']' | '}') => change -= 1,
            (None, '#') => return (&line[..at], change),
            _ => {}
        }
    }
    (line, change)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[package]
name = "a"
version.workspace = true
edition = { workspace = true }
rust-version.workspace = true
license.workspace = true

[features]
many = [
    "b/c", # [
]

[dependencies]
b.workspace = true
c = { workspace = true, features = [
    "d",
] }

[target.'cfg(unix)'.dependencies]
e.workspace = true

[dev-dependencies.f]
workspace = true
features = ["g"]

[lints]
workspace = true
"#;

    fn messages(rule: fn(&Tree) -> Vec<Violation>, path: &str, text: &str) -> Vec<String> {
        rule(&Tree::of(&[(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_manifest_passes() {
        for rule in [inherited_package, inherited_lints, inherited_dependencies] {
            assert_eq!(messages(rule, "crates/a/Cargo.toml", GOOD), [""; 0]);
        }
    }

    #[test]
    fn a_version_of_its_own_is_found() {
        let text = GOOD.replace("version.workspace = true\nedition", "version = \"1\"\nedition");
        assert_eq!(
            messages(inherited_package, "crates/a/Cargo.toml", &text),
            ["crates/a/Cargo.toml:1: package: `version.workspace = true` is missing"]
        );
    }

    #[test]
    fn missing_lints_are_found() {
        let text = GOOD.replace("[lints]", "[lints.rust]");
        assert_eq!(messages(inherited_lints, "xtask/Cargo.toml", &text).len(), 1);
    }

    #[test]
    fn a_dependency_with_its_own_version_is_found() {
        for (from, to) in [
            ("b.workspace = true", "b = \"1\""),
            ("c = { workspace = true", "c = { version = \"1\""),
            ("e.workspace = true", "e = \"1\""),
        ] {
            let text = GOOD.replace(from, to);
            let found = messages(inherited_dependencies, "crates/a/Cargo.toml", &text);
            assert_eq!(found.len(), 1, "{to}: {found:?}");
        }
    }

    #[test]
    fn dependency_of_tests_may_name_a_path_alone() {
        let text = "[dev-dependencies]\nlock-memory = { path = \"../lock-memory\" }\n";
        let found =
            |text: &str| messages(inherited_dependencies, "crates/a/Cargo.toml", text).len();
        assert_eq!(found(text), 0);
        assert_eq!(found(&text.replace("dev-", "")), 1);
        assert_eq!(found(&text.replace(" }", ", version = \"1\" }")), 1);
    }

    #[test]
    fn a_crate_may_name_itself_for_its_tests() {
        let text = "[dev-dependencies]\na = { path = \".\", features = [\"b\"] }\n";
        let rule = inherited_dependencies;
        assert_eq!(messages(rule, "crates/a/Cargo.toml", text), [""; 0]);
        let normal = text.replace("dev-", "");
        assert_eq!(messages(rule, "crates/a/Cargo.toml", &normal).len(), 1);
    }

    #[test]
    fn a_dependency_has_a_line() {
        assert_eq!(line_of("[dependencies]\na = \"1\"\nb = \"1\"\n", "b"), 3);
    }
}
