//! `features`: the crates compile under each of their features.

use anyhow::Result;

use crate::sh::{Sh, crates, is_library};

/// Checks every crate alone with its default features, and with none and each of them. That they go
/// together, the whole build shows.
pub(crate) fn run(sh: &Sh) -> Result<()> {
    for package in crates(&sh.metadata()?) {
        let target = if is_library(package) { "--lib" } else { "--bins" };
        for flags in combinations(package.features.keys().map(String::as_str)) {
            let cmd = sh.cargo(&["check", "--package", &package.name, target]);
            cmd.args(flags).run()?;
        }
    }
    Ok(())
}

/// Returns the flags to try; one run is enough for a crate without features.
fn combinations<'a>(features: impl Iterator<Item = &'a str>) -> Vec<Vec<String>> {
    let mut runs = vec![Vec::new()];
    for feature in features.filter(|feature| *feature != "default") {
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
            joined(&["default", "serde", "test-util"]),
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
