//! Checks that every crate has its README and that links in documents exist.

use super::{File, Tree, Violation};

/// Shorter says too little, longer is a guide.
const README_LINES: std::ops::RangeInclusive<usize> = 15..=80;

/// Returns the names of the crates.
fn names(tree: &Tree) -> impl Iterator<Item = &str> {
    tree.manifests().filter_map(|file| {
        file.path.strip_prefix("crates/").and_then(|path| path.strip_suffix("/Cargo.toml"))
    })
}

/// Every crate has a README.
pub(super) fn readmes(tree: &Tree) -> Vec<Violation> {
    let fault = |name: &str| {
        let path = format!("crates/{name}/README.md");
        let Some(file) = tree.file(&path) else {
            return Some(Violation::new(path, 1, "the file is missing"));
        };
        let lines = file.lines().count();
        let message = format!("{lines} lines, and not {README_LINES:?}");
        (!README_LINES.contains(&lines)).then(|| Violation::new(path, 1, message))
    };
    names(tree).filter_map(fault).collect()
}

/// The map of the code has a line for every crate.
pub(super) fn code_map(tree: &Tree) -> Vec<Violation> {
    const PATH: &str = "ARCHITECTURE.md";
    let map = tree.file(PATH).map_or("", |file| &file.text);
    let is_missing = |name: &&str| !map.contains(&format!("| `{name}/src/"));
    let missing = names(tree).filter(is_missing);
    missing
        .map(|name| Violation::new(PATH, 1, format!("the code map lacks `{name}/src/`")))
        .collect()
}

/// Every link of a document leads to a file.
pub(super) fn links(tree: &Tree) -> Vec<Violation> {
    let documents = tree.files.iter().filter(|file| file.has_extension(&["md"]));
    documents.flat_map(|file| broken(tree, file)).collect()
}

fn broken(tree: &Tree, document: &File) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (line, text) in document.lines() {
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
            // Texts alone are read; and rustdoc checks its own links.
            let is_read =
                target.ends_with(".md") || target.ends_with(".rs") || target.ends_with('/');
            if !is_read || target.contains("://") {
                continue;
            }
            let path = resolve(&document.path, target);
            if tree.file(&path).is_none() && tree.files.iter().all(|it| !it.path.starts_with(&path))
            {
                violations.push(Violation::new(
                    &document.path,
                    line,
                    format!("there is no {path}"),
                ));
            }
        }
    }
    violations
}

/// The path that a link in a document means.
fn resolve(document: &str, target: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: (&str, &str) = ("crates/a/Cargo.toml", "");

    #[test]
    fn crate_without_a_readme_is_found() {
        let long = "line\n".repeat(20);
        assert_eq!(readmes(&Tree::of(&[MANIFEST, ("crates/a/README.md", &long)])), []);
        assert_eq!(readmes(&Tree::of(&[MANIFEST, ("crates/a/README.md", "# a\n")])).len(), 1);
        assert_eq!(readmes(&Tree::of(&[MANIFEST])).len(), 1);
    }

    #[test]
    fn crate_that_the_code_map_lacks_is_found() {
        let map = |text| code_map(&Tree::of(&[MANIFEST, ("ARCHITECTURE.md", text)])).len();
        assert_eq!(map("| `a/src/` | all of it |\n"), 0);
        assert_eq!(map("| `b/src/` | all of it |\n"), 1);
    }

    #[test]
    fn link_to_nothing_is_found() {
        let found = |text| {
            let files = [("docs/a.md", text), ("docs/b.md", ""), ("crates/c/src/lib.rs", "")];
            links(&Tree::of(&files)).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found("[b](b.md), [c](../crates/c/), [d](https://d/d.md#e)"), [""; 0]);
        assert_eq!(found("one\n[b](e.md)"), ["docs/a.md:2: there is no docs/e.md"]);
    }
}
