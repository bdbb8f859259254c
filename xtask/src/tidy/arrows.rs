//! Which crate may depend on which.

use cargo_metadata::{DependencyKind, Metadata};

use super::manifest::line_of;
use super::{Tree, Violation};

/// The crate on which all may depend.
const CORE: &str = "lock-core";
/// The crate on which only tests may depend.
const TESTKIT: &str = "lock-testkit";
const TESTKIT_REDIS: &str = "lock-testkit-redis";
/// The crate for backends whose store keeps bytes.
const HOST: &str = "lock-host";
/// The crate of code that clients of Redis share.
const CLIENT: &str = "lock-redis-client";
const REDIS: &str = "lock-redis";
/// Puts the others together, so it knows them all.
const BINARY: &str = "lock-cli";
/// Atlantis' interfaces, which its own stores offer.
const COMPAT: &str = "lock-compat";
const ATLANTIS: &str = "lock-atlantis";
/// The crate of documents, kept beside locks in the store of a backend or of Atlantis.
const DOCUMENTS: &str = "lock-documents";
/// The HTTP service, over any backend.
const SERVER: &str = "lock-server";
/// The service in the protocol of Atlantis' Redis, over any backend.
const ATLANTIS_SERVER: &str = "lock-atlantis-server";
/// Any other crate is a backend.
const NOT_BACKENDS: [&str; 11] = [
    CORE,
    SERVER,
    ATLANTIS_SERVER,
    DOCUMENTS,
    CLIENT,
    TESTKIT,
    TESTKIT_REDIS,
    HOST,
    BINARY,
    COMPAT,
    ATLANTIS,
];
/// The drivers, which only backends may use.
const DRIVERS: [&str; 2] = ["redis", "rusqlite"];

/// A crate of the workspace and what it depends on.
#[derive(Debug)]
pub(super) struct Crate {
    name: String,
    manifest: String,
    dependencies: Vec<(String, DependencyKind)>,
}

/// Returns the crates below `crates/`.
pub(super) fn crates(metadata: &Metadata) -> Vec<Crate> {
    let packages = metadata.workspace_packages();
    let krate = |package: &&cargo_metadata::Package| {
        let manifest = package.manifest_path.strip_prefix(&metadata.workspace_root).ok()?;
        manifest.starts_with("crates").then(|| Crate {
            name: package.name.to_string(),
            manifest: manifest.to_string(),
            dependencies: package
                .dependencies
                .iter()
                .map(|dependency| (dependency.name.clone(), dependency.kind))
                .collect(),
        })
    };
    packages.iter().filter_map(krate).collect()
}

/// Returns the dependencies that go against the arrows.
pub(super) fn check(tree: &Tree, crates: &[Crate]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for krate in crates {
        let manifest = tree.file(&krate.manifest).map_or("", |file| &file.text);
        for (name, kind) in &krate.dependencies {
            let is_ours = crates.iter().any(|other| other.name == *name);
            if let Some(why) = objection(&krate.name, name, *kind, is_ours) {
                let message = format!("{} may not depend on {name}: {why}", krate.name);
                violations.push(Violation::new(&krate.manifest, line_of(manifest, name), message));
            }
        }
    }
    violations
}

/// Says why a crate may not depend on another.
fn objection(from: &str, to: &str, kind: DependencyKind, is_ours: bool) -> Option<&'static str> {
    let is_backend = |name: &str| !NOT_BACKENDS.contains(&name);
    if from == CORE && DRIVERS.contains(&to) {
        return Some("the core knows no driver");
    }
    // A crate that depends on itself gives its tests a feature that its users have to ask for.
    if !is_ours || (from == to && kind == DependencyKind::Development) {
        return None;
    }
    if is_backend(from) && is_backend(to) {
        return Some("backends do not know each other");
    }
    if kind == DependencyKind::Development {
        return None;
    }
    match (from, to) {
        (_, TESTKIT | TESTKIT_REDIS) => Some("the testkit is for tests only"),
        (CORE | DOCUMENTS | CLIENT, _) => Some("these depend on no other crate"),
        (BINARY, _)
        | (_, CORE)
        | (REDIS, CLIENT)
        | (ATLANTIS, CLIENT | COMPAT | DOCUMENTS)
        | (ATLANTIS_SERVER, COMPAT | SERVER)
        | (COMPAT | SERVER, DOCUMENTS)
        | (SERVER, COMPAT) => None,
        (_, HOST | DOCUMENTS) if is_backend(from) => None,
        _ => Some("a library depends on lock-core only, a backend on lock-host and documents, too"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(from: &str, to: &str, kind: DependencyKind) -> bool {
        let krate = |name: &str, dependencies| Crate {
            name: name.to_owned(),
            manifest: format!("crates/{name}/Cargo.toml"),
            dependencies,
        };
        let mut crates = vec![krate(from, vec![(to.to_owned(), kind)])];
        if !DRIVERS.contains(&to) {
            crates.push(krate(to, Vec::new()));
        }
        !check(&Tree::default(), &crates).is_empty()
    }

    #[test]
    fn the_core_depends_on_no_crate_and_no_driver() {
        assert!(refused("lock-core", "lock-memory", DependencyKind::Normal));
        assert!(refused("lock-core", "redis", DependencyKind::Normal));
        assert!(refused("lock-core", "rusqlite", DependencyKind::Development));
        assert!(!refused("lock-core", "lock-memory", DependencyKind::Development));
        assert!(!refused("lock-core", "lock-testkit", DependencyKind::Development));
    }

    #[test]
    fn a_library_depends_on_the_core_only() {
        for library in ["lock-memory", "lock-redis", "lock-sqlite", "lock-compat", "lock-testkit"] {
            assert!(!refused(library, "lock-core", DependencyKind::Normal), "{library}");
            assert!(refused(library, "lock-cli", DependencyKind::Normal), "{library}");
        }
        assert!(!refused("lock-atlantis", "lock-compat", DependencyKind::Normal));
        assert!(refused("lock-compat", "lock-atlantis", DependencyKind::Normal));
        assert!(refused("lock-compat", "lock-memory", DependencyKind::Normal));
        assert!(!refused("lock-compat", "lock-memory", DependencyKind::Development));
        assert!(!refused("lock-redis", "redis", DependencyKind::Normal));
    }

    #[test]
    fn the_host_is_for_backends() {
        assert!(!refused("lock-sqlite", "lock-host", DependencyKind::Normal));
        assert!(!refused("lock-host", "lock-core", DependencyKind::Normal));
        assert!(refused("lock-host", "lock-sqlite", DependencyKind::Normal));
        assert!(refused("lock-core", "lock-host", DependencyKind::Normal));
        assert!(refused("lock-compat", "lock-host", DependencyKind::Normal));
    }

    #[test]
    fn documents_are_below_backends_and_the_adapter() {
        for above in ["lock-compat", "lock-server", "lock-sqlite"] {
            assert!(!refused(above, "lock-documents", DependencyKind::Normal), "{above}");
        }
        assert!(refused("lock-documents", "lock-core", DependencyKind::Normal));
        assert!(refused("lock-documents", "lock-sqlite", DependencyKind::Normal));
        assert!(refused("lock-core", "lock-documents", DependencyKind::Normal));
        assert!(!refused("lock-sqlite", "lock-compat", DependencyKind::Development));
    }

    #[test]
    fn only_crates_for_redis_depend_on_the_client() {
        assert!(!refused("lock-redis", "lock-redis-client", DependencyKind::Normal));
        assert!(!refused("lock-atlantis", "lock-redis-client", DependencyKind::Normal));
        assert!(refused("lock-sqlite", "lock-redis-client", DependencyKind::Normal));
        assert!(refused("lock-compat", "lock-redis-client", DependencyKind::Normal));
        assert!(refused("lock-redis-client", "lock-redis", DependencyKind::Normal));
    }

    #[test]
    fn service_knows_no_backend() {
        assert!(refused("lock-server", "lock-memory", DependencyKind::Normal));
        assert!(!refused("lock-server", "lock-memory", DependencyKind::Development));
        assert!(refused("lock-memory", "lock-server", DependencyKind::Normal));
        // The names of Atlantis are no backend; its stores are.
        assert!(!refused("lock-server", "lock-compat", DependencyKind::Normal));
        assert!(refused("lock-server", "lock-atlantis", DependencyKind::Normal));
        assert!(refused("lock-compat", "lock-server", DependencyKind::Normal));
    }

    #[test]
    fn backends_do_not_know_each_other() {
        assert!(refused("lock-sqlite", "lock-redis", DependencyKind::Normal));
        assert!(refused("lock-redis", "lock-memory", DependencyKind::Development));
        assert!(!refused("lock-redis", "lock-redis", DependencyKind::Development));
        assert!(refused("lock-redis", "lock-redis", DependencyKind::Normal));
    }

    #[test]
    fn the_testkit_is_for_tests() {
        assert!(refused("lock-cli", "lock-testkit", DependencyKind::Normal));
        assert!(refused("lock-memory", "lock-testkit", DependencyKind::Build));
        for backend in ["lock-memory", "lock-redis"] {
            assert!(!refused(backend, "lock-testkit", DependencyKind::Development), "{backend}");
        }
    }
}
