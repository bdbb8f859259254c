//! The random programs of the simulation, on a map that conflicts on purpose and loses notices, and on
//! a directory of files.

#![expect(dead_code, reason = "other tests use the rest of what they share")]

mod common;
#[path = "../examples/directory.rs"]
mod directory;

use std::sync::Arc;
use std::time::Duration;

use common::{Manners, Map};
use directory::Directory;
use lock_core::TokioClock;
use lock_host::{HostBackend, HostConfig};
use lock_testkit::simulation::{self, Lines};

/// No timing of a busy machine decides.
const SLACK: Duration = Duration::from_secs(20);

#[tokio::test]
async fn programs_fit_together_on_a_map_that_conflicts() {
    simulation::check_programs(8, async |_| {
        let map = Map::new(Manners::rough(), Arc::new(TokioClock::new()));
        Lines::new(|_| map.host(&HostConfig::new()), SLACK)
    })
    .await;
}

#[tokio::test]
async fn programs_fit_together_on_a_directory() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.expect("a folder");
    let clock = Arc::new(TokioClock::new());
    simulation::check_programs(8, async |seed| {
        let path = folder.path().join(format!("program-{seed}"));
        std::fs::create_dir_all(&path).expect("a folder");
        let connect = |_| {
            let store = Directory::open(path.clone(), Arc::clone(&clock)).expect("it opens");
            HostBackend::new(store, &HostConfig::new()).expect("a thread starts")
        };
        Lines::new(connect, SLACK)
    })
    .await;
}
