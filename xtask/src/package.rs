//! `package`: the libraries as others get them: packaged, and used outside of the workspace.

mod consumer;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cargo_metadata::{Metadata, Package};
use tempfile::TempDir;

use crate::sh::{Sh, libraries};
use consumer::Consumer;

/// The page whose crate is a store outside of the workspace, and the example that is its store.
const PAGE: &str = "crates/lock-testkit/docs/your-own-backend.md";
const STORE: &str = "crates/lock-host/examples/directory.rs";

/// Packages every library, and compiles and runs the program of each README against the packages.
pub(crate) fn run(sh: &Sh) -> Result<()> {
    prove(sh, Consumer::command)
}

/// The same for a check of everything, in which programs that the doctests run are only compiled.
pub(crate) fn check(sh: &Sh) -> Result<()> {
    prove(sh, Consumer::quick_command)
}

fn prove(sh: &Sh, command: fn(&Consumer) -> Vec<&str>) -> Result<()> {
    let metadata = sh.metadata()?;
    let packages: Vec<_> = libraries(&metadata).collect();
    let selected = packages.iter().flat_map(|package| ["--package", package.name.as_str()]);
    // The consumers below are the verification, in a target folder that is there already.
    let cmd = sh.cargo(&["package", "--no-verify", "--allow-dirty", "--quiet"]);
    cmd.args(selected).run()?;

    let folder = tempfile::Builder::new().prefix("lock-consumers-").tempdir()?;
    unpack(sh, &metadata, &packages, &folder)?;
    let mut consumers = Vec::new();
    for package in &packages {
        let readme = folder.path().join(unpacked(package)).join("README.md");
        consumers.extend(Consumer::of_readme(&package.name, &read(&readme)?)?);
    }
    consumers.push(Consumer::of_page(&read(sh.root().join(PAGE))?, &read(sh.root().join(STORE))?)?);
    for consumer in &consumers {
        consumer.write(folder.path())?;
    }
    let profile = profile(&read(sh.root().join("Cargo.toml"))?);
    fs::write(folder.path().join("Cargo.toml"), manifest(&packages, &profile))?;
    fs::copy(sh.root().join("Cargo.lock"), folder.path().join("Cargo.lock"))?;

    let cargo = |words: &[&str]| {
        let manifest = folder.path().join("Cargo.toml");
        let cmd = sh.tool("cargo", words).arg("--quiet").arg("--manifest-path").arg(manifest);
        cmd.env("CARGO_TARGET_DIR", &metadata.target_directory)
    };
    // One by one: built together, a consumer gets the features that only another asks for.
    for consumer in &consumers {
        cargo(&command(consumer)).ignore_stdout().run()?;
    }
    println!("{} packages, used by {} crates", packages.len(), consumers.len());
    Ok(())
}

fn read(path: impl AsRef<Path>) -> Result<String> {
    fs::read_to_string(&path).with_context(|| path.as_ref().display().to_string())
}

/// The folder of an unpacked package.
fn unpacked(package: &Package) -> PathBuf {
    PathBuf::from(format!("{}-{}", package.name, package.version))
}

fn unpack(sh: &Sh, metadata: &Metadata, packages: &[&Package], folder: &TempDir) -> Result<()> {
    for package in packages {
        let file = metadata.target_directory.join("package");
        let file = file.join(format!("{}-{}.crate", package.name, package.version));
        sh.tool("tar", &["xzf", file.as_str(), "-C"]).arg(folder.path()).quiet().run()?;
        let manifest = folder.path().join(unpacked(package)).join("Cargo.toml");
        ensure!(manifest.exists(), "{file} holds no package");
    }
    Ok(())
}

/// The settings of the profile of development builds, in a manifest.
fn profile(manifest: &str) -> String {
    let is_of_dev = |table: &&str| table.starts_with("profile.dev");
    let tables = manifest.split("\n[").filter(is_of_dev);
    tables.map(|table| format!("[{}\n", table.trim_end())).collect()
}

/// A workspace in which the registry has the packages and no others of their names. Its profile is
/// this workspace's, so that what was compiled before is used again.
fn manifest(packages: &[&Package], profile: &str) -> String {
    let mut text = format!(
        "[workspace]\nmembers = [\"consumers/*\"]\nresolver = \"3\"\n\n{profile}\n[patch.crates-io]\n"
    );
    for package in packages {
        text += &format!("{} = {{ path = \"{}\" }}\n", package.name, unpacked(package).display());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tables_of_development_builds_are_taken_over() {
        let manifest = "[workspace]\n\n[profile.dev]\ndebug = 1\n\n[profile.dev.package.tokio]\n\
                        opt-level = 1\n\n[profile.release]\nlto = true\n";
        let expected = "[profile.dev]\ndebug = 1\n[profile.dev.package.tokio]\nopt-level = 1\n";
        assert_eq!(profile(manifest), expected);
    }
}
