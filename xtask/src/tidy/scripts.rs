//! Lua scripts and the sources that include them.

use std::path::{Component, Path, PathBuf};

use super::{File, Tree, Violation};

/// Every script of a crate is included once, by the crate: never is dead code, twice are two copies,
/// and who takes it from elsewhere depends on a crate that it does not name.
pub(super) fn included_once(tree: &Tree) -> Vec<Violation> {
    let sources = tree.below("crates/", "rs");
    let included: Vec<(&str, PathBuf)> = sources
        .flat_map(|file| inclusions(file).into_iter().map(|path| (krate(&file.path), path)))
        .collect();
    let mut violations = Vec::new();
    for script in tree.below("crates/", "lua").filter(|file| file.path.contains("/src/")) {
        let by = included.iter().filter(|(_, path)| path == Path::new(&script.path));
        let (own, foreign): (Vec<_>, Vec<_>) = by.partition(|(by, _)| *by == krate(&script.path));
        if own.len() != 1 {
            let message = format!("included {} times, not once", own.len());
            violations.push(Violation::new(&script.path, 1, message));
        }
        for (by, _) in foreign {
            let message = format!("included by another crate, {by}");
            violations.push(Violation::new(&script.path, 1, message));
        }
    }
    violations
}

/// Returns the paths, from the root, that a source includes.
fn inclusions(file: &File) -> Vec<PathBuf> {
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    let calls = file.text.split("include_str!(").skip(1);
    calls
        .filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next())
        .map(|path| normal(&folder.join(path)))
        .collect()
}

/// Returns the name of a crate's folder.
fn krate(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default()
}

/// Returns a path without its `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_is_not_included_once_is_found() {
        let tree = Tree::of(&[
            ("crates/a/src/scripts/none.lua", ""),
            ("crates/a/src/scripts/one.lua", ""),
            ("crates/a/src/scripts/two.lua", ""),
            ("crates/b/src/scripts/theirs.lua", ""),
            ("crates/a/src/theirs.rs", "include_str!(\"../../b/src/scripts/theirs.lua\")"),
            ("crates/a/src/b/c.rs", "include_str!(\"../scripts/two.lua\")\n"),
            (
                "crates/a/src/script.rs",
                "include_str!(\"scripts/one.lua\") include_str!(\n \"scripts/two.lua\")\n",
            ),
        ]);
        let found: Vec<_> = included_once(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "crates/a/src/scripts/none.lua:1: included 0 times, not once",
                "crates/a/src/scripts/two.lua:1: included 2 times, not once",
                "crates/b/src/scripts/theirs.lua:1: included 0 times, not once",
                "crates/b/src/scripts/theirs.lua:1: included by another crate, a",
            ]
        );
    }
}
