//! Crates outside of the workspace, as the documents tell others to write them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A crate that uses a library, and nothing of the workspace besides.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Consumer {
    pub(crate) name: String,
    proof: Proof,
    files: Vec<(&'static str, String)>,
}

/// The strongest proof that a consumer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// It compiles; its program needs a server.
    Check,
    /// Its program runs.
    Run,
    /// Its tests pass.
    Test,
}

/// A fenced block of a document.
struct Block<'a> {
    info: &'a str,
    /// The last line before it that is not empty.
    title: &'a str,
    text: String,
}

impl Consumer {
    /// The program in a README with the dependencies that stand there; `None` when it has no program.
    pub(crate) fn of_readme(library: &str, readme: &str) -> Result<Option<Self>> {
        let blocks = blocks(readme);
        let dependencies = blocks.iter().find(|block| block.info == "toml");
        let dependencies = dependencies.with_context(|| format!("{library}: no dependencies"))?;
        let program = blocks.iter().find(|block| ["rust", "rust,no_run"].contains(&block.info));
        let Some(program) = program else { return Ok(None) };
        let is_program = program.text.contains("fn main()");
        let name = format!("uses-{library}");
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
             rust-version = \"1.89\"\npublish = false\n\n{}",
            dependencies.text
        );
        let path = match dependencies.text.contains("[dev-dependencies]") {
            true => "tests/readme.rs",
            false if is_program => "src/main.rs",
            false => "src/lib.rs",
        };
        let proof = match is_program && program.info == "rust" {
            true => Proof::Run,
            false => Proof::Check,
        };
        let mut files = vec![("Cargo.toml", manifest), (path, program.text.clone())];
        if path.starts_with("tests") {
            files.push(("src/lib.rs", String::new()));
        }
        Ok(Some(Self { name, proof, files }))
    }

    /// The crate of the page on backends, with a store that is an example.
    pub(crate) fn of_page(page: &str, store: &str) -> Result<Self> {
        let blocks = blocks(page);
        let block = |title: &'static str| {
            let block = blocks.iter().find(|block| block.title == format!("`{title}`:"));
            Ok::<_, anyhow::Error>((title, block.context(title)?.text.clone()))
        };
        let mut files = vec![
            block("Cargo.toml")?,
            block("tests/conformance.rs")?,
            block("tests/differential.rs")?,
        ];
        files.push(("src/directory.rs", store.to_owned()));
        // The example is a program; as a library, it is only there to be compiled.
        files.push(("src/lib.rs", "#[allow(dead_code)]\nmod directory;\n".to_owned()));
        Ok(Self { name: "lock-directory".to_owned(), proof: Proof::Test, files })
    }

    /// The arguments of cargo that prove this consumer alone.
    pub(crate) fn command(&self) -> Vec<&str> {
        match self.proof {
            Proof::Check => self.words(&["check", "--all-targets"]),
            Proof::Run => self.words(&["run"]),
            Proof::Test => self.words(&["test"]),
        }
    }

    /// The same without a run: it only compiles.
    pub(crate) fn quick_command(&self) -> Vec<&str> {
        self.words(&["check", "--all-targets"])
    }

    fn words<'a>(&'a self, verb: &[&'a str]) -> Vec<&'a str> {
        [verb, &["--package", &self.name]].concat()
    }

    /// Writes the crate below a folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let root = folder.join("consumers").join(&self.name);
        for (path, text) in &self.files {
            let path = root.join(path);
            let parent = path.parent().context("a file is in a folder")?;
            fs::create_dir_all(parent)?;
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

fn blocks(document: &str) -> Vec<Block<'_>> {
    let (mut blocks, mut title, mut lines) = (Vec::new(), "", document.lines());
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let body = lines.by_ref().take_while(|line| *line != "```");
            let text = body.map(|line| format!("{line}\n")).collect();
            blocks.push(Block { info, title, text });
        } else if !line.trim().is_empty() {
            title = line;
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "# a\n\n```toml\n[dependencies]\na = \"1\"\n```\n\n\
                          ```rust\nfn main() {}\n```\n\n```rust\nfn other() {}\n```\n";

    #[test]
    fn program_of_a_readme_has_the_dependencies_that_stand_there() {
        let consumer = Consumer::of_readme("a", README).unwrap().unwrap();
        assert_eq!(consumer.command(), ["run", "--package", "uses-a"]);
        assert!(consumer.files[0].1.ends_with("publish = false\n\n[dependencies]\na = \"1\"\n"));
        assert_eq!(consumer.files[1], ("src/main.rs", "fn main() {}\n".to_owned()));
    }

    #[test]
    fn readme_without_dependencies_is_refused() {
        let error = Consumer::of_readme("a", "```rust\nfn main() {}\n```\n").unwrap_err();
        assert_eq!(error.to_string(), "a: no dependencies");
    }

    #[test]
    fn program_that_needs_a_server_is_compiled_only() {
        let readme = README.replace("```rust\nfn main", "```rust,no_run\nfn main");
        let consumer = Consumer::of_readme("a", &readme).unwrap().unwrap();
        assert_eq!(consumer.command(), ["check", "--all-targets", "--package", "uses-a"]);
    }

    #[test]
    fn page_without_a_file_is_refused() {
        let error = Consumer::of_page("`Cargo.toml`:\n\n```toml\n```\n", "").unwrap_err();
        assert_eq!(error.to_string(), "tests/conformance.rs");
    }
}
