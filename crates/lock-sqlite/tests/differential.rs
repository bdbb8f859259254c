//! The store in SQLite and the state machine are given the same random commands, and answer the same.

use std::time::Duration;

use lock_host::HostConfig;
use lock_sqlite::{SqliteConfig, Synchronous};
use lock_testkit::differential::{Settings, check};

#[tokio::test]
async fn the_file_agrees_with_the_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings::from_env().with_notices().with_events();
    // Every command on a crowd reads and writes all of it.
    let settings = settings.clone().with_sequences(settings.sequences.div_ceil(20));
    // Each key has a counter of its own as long as its cell stays.
    let lasting = HostConfig::new().with_idle_span(Duration::from_secs(400 * 24 * 60 * 60));
    let mut sequence = 0;
    let checked = check(&settings, async |clock| {
        sequence += 1;
        let config = SqliteConfig::new(folder.path().join(format!("{sequence}.db")));
        let config = config.with_synchronous(Synchronous::Normal).with_host(lasting.clone());
        config.with_clock(clock).open().expect("the file opens")
    });
    let report = checked.await.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{report}");
}
