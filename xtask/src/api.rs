//! `api`: the public API of every library, compared with its snapshot, and its documentation, with
//! warnings as errors.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, Package};

use crate::sh::{Sh, libraries};

/// Compares every library with `api/CRATE.txt`, or writes it there.
pub(crate) fn run(sh: &Sh, bless: bool) -> Result<()> {
    let metadata = sh.metadata()?;
    document(sh)?;
    let mut changed = Vec::new();
    for package in libraries(&metadata) {
        let now = public_api(&metadata, package)?;
        let snapshot = sh.root().join("api").join(format!("{}.txt", package.name));
        if bless {
            fs::create_dir_all(sh.root().join("api"))?;
            fs::write(&snapshot, now).with_context(|| snapshot.display().to_string())?;
            println!("wrote api/{}.txt", package.name);
            continue;
        }
        let before = fs::read_to_string(&snapshot).unwrap_or_default();
        let lines = difference(&before, &now);
        if !lines.is_empty() || !snapshot.exists() {
            println!("api/{}.txt", package.name);
            lines.iter().for_each(|line| println!("{line}"));
            changed.push(package.name.as_str());
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    bail!("the API of {} changed; if so intended: cargo xtask api --bless", changed.join(", "))
}

/// Documents every library for programs.
fn document(sh: &Sh) -> Result<()> {
    let cmd = sh.cargo(&["doc", "--no-deps", "--workspace", "--lib", "--all-features"]);
    Ok(cmd
        .env("RUSTDOC", sh.root().join("xtask/rustdoc"))
        .env("RUSTDOCFLAGS", "-D warnings -Z unstable-options --output-format json")
        .run()?)
}

/// Returns one line for each public item of a library.
fn public_api(metadata: &Metadata, package: &Package) -> Result<String> {
    let name = package.name.replace('-', "_");
    let json = metadata.target_directory.join("doc").join(format!("{name}.json"));
    let api = public_api::Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .with_context(|| format!("{json}"))?;
    Ok(api.items().map(|item| format!("{item}\n")).collect())
}

/// Returns the lines that went (`-`) and came (`+`); their order does not count.
fn difference(before: &str, now: &str) -> Vec<String> {
    let mut count: HashMap<&str, i64> = HashMap::new();
    for line in now.lines() {
        *count.entry(line).or_default() += 1;
    }
    for line in before.lines() {
        *count.entry(line).or_default() -= 1;
    }
    let mut take = |line: &str, step: i64| {
        let left = count.get_mut(line).filter(|left| left.signum() == step)?;
        *left -= step;
        Some(format!("{}{line}", if step > 0 { '+' } else { '-' }))
    };
    let gone: Vec<_> = before.lines().filter_map(|line| take(line, -1)).collect();
    let new = now.lines().filter_map(|line| take(line, 1));
    gone.into_iter().chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_and_what_came_is_shown() {
        let before = "pub fn a()\npub fn b()\npub fn c()\n";
        let now = "pub fn a()\npub fn b(x: u8)\npub fn c()\npub fn d()\n";
        assert_eq!(difference(before, now), ["-pub fn b()", "+pub fn b(x: u8)", "+pub fn d()"]);
    }

    #[test]
    fn equal_texts_have_no_difference() {
        assert!(difference("a\nb\n", "a\nb\n").is_empty());
    }

    #[test]
    fn a_line_that_stands_twice_must_stay_twice() {
        assert_eq!(difference("a\na\n", "a\n"), ["-a"]);
        assert_eq!(difference("a\n", "a\na\na\n"), ["+a", "+a"]);
    }
}
