//! The store in Redis and the state machine are given the same random commands, and answer the same.

#![expect(clippy::panic, reason = "a failed test panics")]
#![expect(clippy::print_stdout, reason = "the count and the seed are part of the result")]

use std::num::NonZeroU32;

use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit::differential::{Settings, check};
use lock_testkit_redis::server::RedisServer;

/// Runs the test on a server, by the commands that this user is given.
async fn agrees(settings: Settings, user: &str, adapt: impl Fn(RedisConfig) -> RedisConfig) {
    let server = RedisServer::start().await;
    let mut rule = vec!["ACL", "SETUSER", "scripts", "on", "nopass", "~*", "&*", "+@all"];
    rule.extend(RedisServer::has_functions().then_some("-function"));
    assert_eq!(server.command(&rule).await, "OK");
    let url = server.url().replace("redis://", &format!("redis://{user}"));
    let mut sequence = 0;
    let checked = check(&settings, async |clock| {
        // Each has a store of its own on the same server.
        sequence += 1;
        if sequence % 100 == 0 {
            server.command(&["FLUSHALL"]).await;
        }
        let config = RedisConfig::parse(&url).expect("a URL");
        let config = config.with_prefix(&sequence.to_string()).expect("a prefix");
        RedisBackend::connect_on(adapt(config), clock).await.expect("the server is up")
    });
    let report = checked.await.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{report}");
}

/// A part of the sequences: each takes a store on the server, and every run has seeds of its own.
fn part(divisor: u32) -> Settings {
    let settings = Settings::from_env().with_notices();
    let sequences = settings.sequences.div_ceil(divisor);
    settings.with_sequences(sequences)
}

/// Fewer, where most is the same.
fn some() -> Settings {
    part(16)
}

#[tokio::test]
async fn functions_agree_with_the_machine() {
    agrees(part(8), "", |config| config).await;
}

#[tokio::test]
async fn scripts_agree_with_the_machine() {
    agrees(some(), "scripts:@", |config| config).await;
}

#[tokio::test]
async fn batches_agree_with_the_machine() {
    agrees(some(), "", RedisConfig::always_batched).await;
}

#[tokio::test]
async fn batches_by_scripts_agree_with_the_machine() {
    agrees(some(), "scripts:@", RedisConfig::always_batched).await;
}

#[tokio::test]
async fn the_journal_agrees_with_the_machine() {
    let entries = NonZeroU32::new(100_000).expect("not zero");
    agrees(some().with_events(), "", |config| config.with_journal(entries)).await;
}
