//! `tidy`: the rules of STYLE.md that a program can check.

mod arrows;
mod cases;
mod crates;
mod documents;
mod manifest;
mod rules;
mod scripts;
mod source;
mod text;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::sh::{Sh, files_below};

/// One place where a rule is broken.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    message: String,
}

impl Violation {
    fn new(path: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.into(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// A file of the tree, its path relative to the root.
#[derive(Debug)]
struct File {
    path: String,
    text: String,
}

impl File {
    fn has_extension(&self, extensions: &[&str]) -> bool {
        let extension = Path::new(&self.path).extension().and_then(|it| it.to_str());
        extension.is_some_and(|it| extensions.contains(&it))
    }

    /// Returns the lines with their numbers, which begin at 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// The texts that the rules read.
#[derive(Debug, Default)]
struct Tree {
    files: Vec<File>,
}

impl Tree {
    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let file = |&(path, text): &(&str, &str)| File { path: path.into(), text: text.into() };
        Self { files: files.iter().map(file).collect() }
    }

    fn read(sh: &Sh) -> Result<Self> {
        let root = sh.root();
        let mut files = Vec::new();
        for path in paths(sh)? {
            let absolute = root.join(&path);
            let path = path.to_str().with_context(|| format!("{}", path.display()))?;
            let mut file = File { path: path.replace('\\', "/"), text: String::new() };
            let read = file.has_extension(&["rs", "toml", "md", "lua"])
                || file.path.starts_with("LICENSE");
            // What the index lists may have been deleted since.
            if read && absolute.is_file() {
                file.text = fs::read_to_string(&absolute).with_context(|| file.path.clone())?;
                files.push(file);
            }
        }
        Ok(Self { files })
    }

    fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Returns the files below a folder, given with its final slash, that have the extension.
    fn below(&self, folder: &str, extension: &str) -> impl Iterator<Item = &File> {
        self.files
            .iter()
            .filter(move |file| file.path.starts_with(folder) && file.has_extension(&[extension]))
    }

    /// Returns the manifests of the workspace's members.
    fn manifests(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| {
            let parts: Vec<&str> = file.path.split('/').collect();
            matches!(parts[..], ["crates", _, "Cargo.toml"] | ["xtask", "Cargo.toml"])
        })
    }
}

/// Lists the files that are or would be committed.
fn paths(sh: &Sh) -> Result<Vec<PathBuf>> {
    // Git refuses a tree of another user's, which is what a container is often given.
    let git = ["-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"];
    if let Ok(listed) = sh.tool("git", &git).quiet().ignore_stderr().read() {
        let mut paths: Vec<PathBuf> =
            listed.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
        paths.sort();
        return Ok(paths);
    }
    // An exported tree, or a machine without git.
    let root = sh.root();
    let files = files_below(&root, &["target", ".git"])?;
    files.iter().map(|path| Ok(path.strip_prefix(&root)?.to_owned())).collect()
}

/// Prints every violation, and fails if there is one.
pub(crate) fn run(sh: &Sh) -> Result<()> {
    const RULES: &[fn(&Tree) -> Vec<Violation>] = &[
        text::trailing_space,
        text::final_newline,
        source::head_comment,
        source::length,
        source::markers,
        manifest::inherited_package,
        manifest::inherited_lints,
        manifest::inherited_dependencies,
        rules::rules_and_map,
        scripts::included_once,
        cases::functions_and_table,
        cases::table_and_contract,
        documents::changelog,
        documents::licence,
        documents::decisions,
        documents::tests_named,
        crates::readmes,
        crates::code_map,
        crates::links,
    ];
    let tree = Tree::read(sh)?;
    let mut violations: Vec<Violation> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    violations.extend(arrows::check(&tree, &arrows::crates(&sh.metadata()?)));
    violations.sort();
    violations.iter().for_each(|violation| println!("{violation}"));
    ensure!(violations.is_empty(), "{} violations of STYLE.md", violations.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_names_its_place() {
        assert_eq!(Violation::new("a/b.rs", 7, "no").to_string(), "a/b.rs:7: no");
    }

    #[test]
    fn only_members_have_manifests_to_check() {
        let tree = Tree::of(&[
            ("Cargo.toml", ""),
            ("crates/a/Cargo.toml", ""),
            ("crates/a/tests/b/Cargo.toml", ""),
            ("xtask/Cargo.toml", ""),
        ]);
        let paths: Vec<_> = tree.manifests().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["crates/a/Cargo.toml", "xtask/Cargo.toml"]);
    }
}
