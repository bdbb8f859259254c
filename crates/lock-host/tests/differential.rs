//! Hosts over a map in memory and the state machine are given the same random commands, and answer the
//! same.

#![expect(dead_code, reason = "other tests use the rest of what they share")]

mod common;

use std::time::Duration;

use common::{Manners, Map};
use lock_host::HostConfig;
use lock_testkit::differential::{Settings, check};

/// Each key has a counter of its own as long as its cell stays.
fn lasting() -> HostConfig {
    HostConfig::new().with_idle_span(Duration::from_secs(400 * 24 * 60 * 60))
}

#[tokio::test]
async fn the_map_agrees_with_the_machine() {
    let settings = Settings::from_env().with_notices().with_events();
    // Every command on a crowd reads and writes all of it.
    let settings = settings.clone().with_sequences(settings.sequences.div_ceil(20));
    let checked =
        check(&settings, async |clock| Map::new(Manners::rough(), clock).host(&lasting())).await;
    let report = checked.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{report}");
}
