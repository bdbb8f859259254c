//! White space, in every kind of text.

use super::{File, Tree, Violation};

fn texts(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.has_extension(&["rs", "toml", "md", "lua"]))
}

/// No line ends in white space.
pub(super) fn trailing_space(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in texts(tree) {
        // Not `lines()`, which hides a carriage return.
        for (index, line) in file.text.split('\n').enumerate() {
            if line.ends_with(char::is_whitespace) {
                violations.push(Violation::new(&file.path, index + 1, "white space ends the line"));
            }
        }
    }
    violations
}

/// Every file ends in one newline.
pub(super) fn final_newline(tree: &Tree) -> Vec<Violation> {
    let broken = |file: &&File| {
        let text = &file.text;
        !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n"))
    };
    let violation = |file: &File| {
        Violation::new(&file.path, file.lines().count(), "the file does not end in one newline")
    };
    texts(tree).filter(broken).map(violation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_at_the_end_of_a_line_is_found() {
        let tree = Tree::of(&[("a.md", "fine\nnot \n"), ("b.rs", "a\r\n"), ("LICENSE-MIT", " \n")]);
        let places: Vec<_> =
            trailing_space(&tree).into_iter().map(|it| (it.path, it.line)).collect();
        assert_eq!(places, [("a.md".to_owned(), 2), ("b.rs".to_owned(), 1)]);
    }

    #[test]
    fn a_missing_or_doubled_final_newline_is_found() {
        let tree = Tree::of(&[("a.rs", "a"), ("b.rs", "b\n\n"), ("c.rs", "c\n"), ("d.rs", "")]);
        let paths: Vec<_> = final_newline(&tree).into_iter().map(|it| it.path).collect();
        assert_eq!(paths, ["a.rs", "b.rs"]);
    }
}
