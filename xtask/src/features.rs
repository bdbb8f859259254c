//! `features`: the crates compile without warnings under each of their features.

use anyhow::Result;
use cargo_metadata::Package;

use crate::sh::{Sh, crates, is_library};

/// Checks every crate alone with its default features, and with none and each of them. That they go
/// together, the whole build shows.
pub(crate) fn run(sh: &Sh) -> Result<()> {
    alone(sh, |_| true)
}

/// Checks the crate with the most dependents, for a check of everything: that the others compile alone,
/// with the features that they need, their packages show.
pub(crate) fn check(sh: &Sh) -> Result<()> {
    alone(sh, |package| *package.name == "lock-core")
}

fn alone(sh: &Sh, wanted: impl Fn(&Package) -> bool) -> Result<()> {
    for package in crates(&sh.metadata()?).filter(|package| wanted(package)) {
        let target = if is_library(package) { "--lib" } else { "--bins" };
        for flags in combinations(features(package)) {
            let cmd = sh.cargo(&["clippy", "--package", &package.name, target]);
            cmd.args(flags).args(["--", "-D", "warnings"]).run()?;
        }
    }
    Ok(())
}

/// The features of a package beside the default.
fn features(package: &Package) -> impl Iterator<Item = &str> {
    package.features.keys().map(String::as_str).filter(|feature| *feature != "default")
}

/// Returns the flags to try; one run is enough for a crate without features.
fn combinations<'a>(features: impl Iterator<Item = &'a str>) -> Vec<Vec<String>> {
    let mut runs = vec![Vec::new()];
    for feature in features {
        runs.push(words(&["--no-default-features", "--features", feature]));
    }
    if runs.len() > 1 {
        runs.push(words(&["--no-default-features"]));
    }
    runs
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(features: &[&str]) -> Vec<String> {
        combinations(features.iter().copied()).iter().map(|flags| flags.join(" ")).collect()
    }

    #[test]
    fn every_feature_is_tried_alone() {
        assert_eq!(
            joined(&["serde", "test-util"]),
            [
                "",
                "--no-default-features --features serde",
                "--no-default-features --features test-util",
                "--no-default-features",
            ]
        );
    }

    #[test]
    fn a_crate_without_features_is_checked_once() {
        assert_eq!(joined(&[]), [""]);
    }
}
