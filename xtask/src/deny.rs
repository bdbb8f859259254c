//! `deny`: licences, sources and versions of the dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};
use cargo_metadata::{MetadataCommand, Package};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::sh::Sh;

/// The rules of both checks, relative to the workspace's root.
const RULES: &str = "deny.toml";
/// The one registry that dependencies may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The part of the rules that is checked without cargo-deny.
#[derive(Debug, Deserialize)]
struct Rules {
    licenses: Licences,
}

#[derive(Debug, Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
}

/// Checks all dependencies, by cargo-deny where it is installed.
pub(crate) fn run(sh: &Sh) -> Result<()> {
    if sh.works("cargo", &["deny", "--version"]) {
        let checks = ["check", "bans", "licenses", "sources"];
        return Ok(sh.cargo(&["deny"]).args(checks).run()?);
    }
    let rules = fs::read_to_string(sh.root().join(RULES)).context(RULES)?;
    let rules: Rules = toml::from_str(&rules).context(RULES)?;
    let mut command = MetadataCommand::new();
    command.current_dir(sh.root()).other_options(["--locked".to_owned()]);
    let packages = command.exec().context("cargo metadata")?.packages;
    for (name, versions) in duplicates(&packages) {
        println!("warning: {name} in versions {}", versions.join(", "));
    }
    let faults: Vec<_> = packages.iter().filter_map(|it| fault(it, &rules.licenses)).collect();
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    println!("{} packages", packages.len());
    Ok(())
}

/// Packages that are there in several versions.
fn duplicates(packages: &[Package]) -> BTreeMap<&str, Vec<String>> {
    let mut versions = BTreeMap::<_, Vec<_>>::new();
    for package in packages {
        versions.entry(package.name.as_str()).or_default().push(package.version.to_string());
    }
    versions.retain(|_, versions| versions.len() > 1);
    versions
}

/// Why a package may not be depended on, if so.
fn fault(package: &Package, licences: &Licences) -> Option<String> {
    let name = format!("{} {}", package.name, package.version);
    if let Some(source) = &package.source
        && source.repr != REGISTRY
    {
        return Some(format!("{name} comes from {}", source.repr));
    }
    let Some(licence) = &package.license else { return Some(format!("{name} has no licence")) };
    is_allowed(licence, licences).err().map(|reason| format!("{name}: {reason}"))
}

/// Checks that a licence expression can be met by the allowed licences.
fn is_allowed(licence: &str, licences: &Licences) -> Result<()> {
    // `MIT/Apache-2.0` is how it was written once.
    let expression = Expression::parse_mode(licence, ParseMode::LAX)?;
    let is_met = expression.evaluate(|required| {
        required.license.id().is_some_and(|id| licences.allow.contains(id.name))
    });
    if !is_met {
        bail!("the licence `{licence}` is not allowed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(licence: &str) -> bool {
        let allow = ["MIT", "Unicode-3.0"].map(str::to_owned).into();
        is_allowed(licence, &Licences { allow }).is_ok()
    }

    #[test]
    fn licence_that_can_be_chosen_is_enough() {
        assert!(allowed("MIT"));
        assert!(allowed("GPL-3.0-only OR MIT"));
        assert!(allowed("GPL-3.0-only/MIT"));
        assert!(allowed("(GPL-3.0-only OR MIT) AND Unicode-3.0"));
    }

    #[test]
    fn licence_that_is_not_in_the_list_is_refused() {
        assert!(!allowed("GPL-3.0-only"));
        assert!(!allowed("MIT AND GPL-3.0-only"));
        assert!(!allowed("a licence of our own"));
    }
}
