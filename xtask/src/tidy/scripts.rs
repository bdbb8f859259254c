//! Lua scripts and the sources that include them.

use std::path::{Component, Path, PathBuf};

use super::{File, Tree, Violation};

/// Every script of a crate is included once: never is dead code, twice are two copies.
pub(super) fn included_once(tree: &Tree) -> Vec<Violation> {
    let included: Vec<PathBuf> = tree.below("crates/", "rs").flat_map(inclusions).collect();
    let mut violations = Vec::new();
    for script in tree.below("crates/", "lua").filter(|file| file.path.contains("/src/")) {
        let times = included.iter().filter(|path| *path == Path::new(&script.path)).count();
        if times != 1 {
            let message = format!("included {times} times, not once");
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
            ]
        );
    }
}
