//! Many processes change one file, which nothing but the lock protects.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "other tests use the rest of what they share")]

mod common;

use common::Scene;
use lock_testkit_redis::server::RedisServer;

/// Processes and turns of each; with `LOCKCTL_LONG`, those of the figures in the documents.
fn size() -> (usize, usize) {
    if std::env::var_os("LOCKCTL_LONG").is_some() { (50, 20) } else { (10, 5) }
}

fn count(scene: &Scene) {
    let (processes, turns) = size();
    std::fs::write(scene.path("counter"), "0\n").unwrap();
    // Each turn is a process of its own, and reads long before it writes.
    let program = env!("CARGO_BIN_EXE_lockctl");
    let turn = "n=$(cat counter); echo $((n + 1)) > new; cat new > counter";
    let script = format!(
        "for i in $(seq {turns}); do {program} run counter -- sh -c '{turn}' 2>> said || exit 1; done"
    );
    let shell = |_| scene.shell(&script).env("LC_ALL", "C").spawn().unwrap();
    let shells: Vec<_> = (0..processes).map(shell).collect();
    for mut shell in shells {
        assert!(shell.wait().unwrap().success(), "{}", scene.file("said"));
    }
    assert_eq!(scene.file("counter"), (processes * turns).to_string());
    assert!(scene.is_free("counter"));
}

#[test]
fn counter_is_exact_in_the_default_file() {
    count(&Scene::new());
}

#[tokio::test]
async fn counter_is_exact_on_redis() {
    let server = RedisServer::start().await;
    let scene = Scene::at(server.url());
    tokio::task::spawn_blocking(move || count(&scene)).await.unwrap();
}
