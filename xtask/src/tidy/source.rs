//! The shape of a source file.

use super::{File, Tree, Violation};

/// A file longer than this is more than one concept.
const MAX_LINES: usize = 400;

/// Left in a hurry; spelled in halves, or this line would be found.
const MARKERS: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!"),
    concat!("db", "g!"),
];

/// The first line of a library whose README is its documentation.
const README: &str = "#![doc = include_str!(\"../README.md\")]\n";

fn sources<'a>(tree: &'a Tree, extension: &'a str) -> impl Iterator<Item = &'a File> {
    tree.below("crates/", extension).chain(tree.below("xtask/", extension))
}

/// Every source begins with the sentence that says what it holds.
pub(super) fn head_comment(tree: &Tree) -> Vec<Violation> {
    sources(tree, "rs")
        .filter(|file| folders(file).any(|folder| folder == "src"))
        .filter(|file| !file.text.starts_with("//! ") && !file.text.starts_with(README))
        .map(|file| Violation::new(&file.path, 1, "the file does not begin with a `//!` sentence"))
        .collect()
}

/// No source is too long; its tests do not count.
pub(super) fn length(tree: &Tree) -> Vec<Violation> {
    let is_test = |file: &File| {
        file.path.ends_with("/tests.rs")
            || folders(file).any(|it| matches!(it, "tests" | "benches" | "examples"))
    };
    sources(tree, "rs")
        .filter(|file| !is_test(file))
        .map(|file| (file, lines_before_tests(&file.text)))
        .filter(|&(_, lines)| lines > MAX_LINES)
        .map(|(file, lines)| {
            let message = format!("{lines} lines without tests, more than {MAX_LINES}: split it");
            Violation::new(&file.path, MAX_LINES + 1, message)
        })
        .collect()
}

/// Nothing is left to be done later.
pub(super) fn markers(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in sources(tree, "rs").chain(sources(tree, "lua")) {
        for (number, line) in file.lines() {
            for marker in MARKERS.into_iter().filter(|marker| has_word(line, marker)) {
                let message = format!("{marker}: do it, or leave the mark out");
                violations.push(Violation::new(&file.path, number, message));
            }
        }
    }
    violations
}

/// Returns the folders on the way to a file.
fn folders(file: &File) -> impl Iterator<Item = &str> {
    let (folder, _) = file.path.rsplit_once('/').unwrap_or_default();
    folder.split('/')
}

/// Counts the lines up to the `mod tests` that ends the file, if one does.
fn lines_before_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let Some(start) = lines.iter().rposition(|line| *line == "#[cfg(test)]") else {
        return lines.len();
    };
    let mut rest = lines[start + 1..].iter().skip_while(|line| line.starts_with("#["));
    let opens = rest.next().is_some_and(|line| *line == "mod tests {");
    // The first brace at the margin closes the module.
    let closes = rest.find(|line| **line == "}").is_some();
    let ends = rest.all(|line| line.trim().is_empty());
    if opens && closes && ends { start } else { lines.len() }
}

fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let after = &line[at + word.len()..];
        !line[..at].ends_with(joins) && (word.ends_with('!') || !after.starts_with(joins))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(violations: Vec<Violation>) -> Vec<String> {
        violations.into_iter().map(|it| it.path).collect()
    }

    #[test]
    fn a_source_without_its_sentence_is_found() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "//! Fine.\n"),
            ("crates/a/src/b/c.rs", "use d;\n"),
            ("crates/a/tests/e.rs", "use d;\n"),
            ("xtask/src/main.rs", "\n//! Late.\n"),
        ]);
        assert_eq!(paths(head_comment(&tree)), ["crates/a/src/b/c.rs", "xtask/src/main.rs"]);
    }

    #[test]
    fn a_long_source_is_found() {
        let long = "a();\n".repeat(MAX_LINES + 1);
        let tree = Tree::of(&[
            ("crates/a/src/long.rs", &long),
            ("crates/a/src/long/tests.rs", &long),
            ("crates/a/tests/long.rs", &long),
            ("crates/a/src/fine.rs", &long[5..]),
        ]);
        assert_eq!(paths(length(&tree)), ["crates/a/src/long.rs"]);
    }

    #[test]
    fn the_tests_at_the_end_do_not_count() {
        let tests = "#[cfg(test)]\n#[expect(a)]\nmod tests {\n    fn a() {}\n}\n";
        assert_eq!(lines_before_tests(&format!("a();\n{tests}")), 1);
        assert_eq!(lines_before_tests(&format!("{tests}a();\n")), 6);
        assert_eq!(lines_before_tests("#[cfg(test)]\nmod tests;\na();\n"), 3);
    }

    #[test]
    fn what_was_left_for_later_is_found() {
        for marker in MARKERS {
            let line = format!("let a = 1; // {marker}(a)\n");
            let tree = Tree::of(&[("crates/a/src/a.rs", &line)]);
            assert_eq!(markers(&tree).len(), 1, "{marker}");
        }
        let tree = Tree::of(&[("crates/a/src/a.rs", "let XXXL = TODOS; mastodon!()\n")]);
        assert_eq!(markers(&tree), []);
    }
}
