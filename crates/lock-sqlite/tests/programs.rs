//! The random programs of the simulation, on files that all their processes open.

use std::time::Duration;

use lock_sqlite::SqliteConfig;
use lock_testkit::simulation::{self, Lines};

/// No timing of a busy machine decides.
const SLACK: Duration = Duration::from_secs(20);

#[tokio::test]
async fn programs_fit_together_on_a_file() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.expect("a folder");
    simulation::check_programs(16, async |seed| {
        let path = folder.path().join(format!("program-{seed}.db"));
        Lines::new(|_| SqliteConfig::new(&path).open().expect("the file opens"), SLACK)
    })
    .await;
}
