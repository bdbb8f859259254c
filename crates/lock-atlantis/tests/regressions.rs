//! The races of Atlantis' own store, over as many rounds as they were measured with.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::sync::Arc;

use lock_atlantis::RedisDocuments;
use lock_atlantis::{AtlantisRedis, ServerConfig};
use lock_compat::conformance::{lock, pull};
use lock_compat::legacy::{CommandName, Outcome, ProjectResult, Timestamp};
use lock_compat::{LegacyBackend, LockAdapter};
use lock_core::{LockManager, OwnerId};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::server::RedisServer;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

type Stores = Vec<Arc<dyn LegacyBackend>>;

/// Stores with a connection each.
async fn atlantis(server: &RedisServer, count: usize) -> Stores {
    let mut stores: Stores = Vec::new();
    for _ in 0..count {
        let config = ServerConfig::parse(&server.url()).unwrap();
        stores.push(Arc::new(AtlantisRedis::connect(config).await.unwrap()));
    }
    stores
}

/// Stores with a manager and connections each.
async fn adapters(server: &RedisServer, count: usize) -> Stores {
    let mut stores: Stores = Vec::new();
    for _ in 0..count {
        let locks =
            RedisBackend::connect(RedisConfig::parse(&server.url()).unwrap()).await.unwrap();
        let manager = LockManager::new(locks, OwnerId::parse("atlantis").unwrap());
        let config = ServerConfig::parse(&server.url()).unwrap();
        let documents = RedisDocuments::connect(config, "documents").await.unwrap();
        stores.push(Arc::new(LockAdapter::new(manager, documents)));
    }
    stores
}

/// Runs the same on all stores concurrently.
async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    stores: &Stores,
    call: impl Fn(usize, Arc<dyn LegacyBackend>) -> F,
) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(stores.len()));
    let mut calls = JoinSet::new();
    for (number, store) in stores.iter().enumerate() {
        let (barrier, call) = (Arc::clone(&barrier), call(number, Arc::clone(store)));
        calls.spawn(async move {
            barrier.wait().await;
            call.await
        });
    }
    calls.join_all().await
}

/// 144 of 500 rounds had more than one winner in Atlantis.
async fn projects_have_one_winner(stores: Stores) {
    for round in 0..500 {
        let winners = at_once(&stores, |number, store| async move {
            let path = format!("round-{round}");
            store.try_lock(lock("owner/repo", &path, "default", number as i64)).await.unwrap().0
        });
        assert_eq!(winners.await.into_iter().filter(|won| *won).count(), 1, "round {round}");
    }
}

/// 126 of 500 rounds had more than one winner in Atlantis.
async fn commands_have_one_winner(stores: Stores) {
    for round in 0..500 {
        let winners = at_once(&stores, |number, store| async move {
            let time = Timestamp::from_unix(number as i64 + 1).unwrap();
            store.lock_command(CommandName::Apply, time).await.is_ok()
        });
        assert_eq!(winners.await.into_iter().filter(|won| *won).count(), 1, "round {round}");
        stores[0].unlock_command(CommandName::Apply).await.unwrap();
    }
}

/// 41 of 200 rounds lost an update in Atlantis.
async fn no_update_is_lost(stores: Stores) {
    for round in 0..200 {
        let pull = pull("owner/repo", round);
        at_once(&stores, |number, store| {
            let pull = pull.clone();
            async move {
                let dir = format!("dir-{number}");
                let plan = ProjectResult::new("default", &dir, CommandName::Plan, Outcome::Success);
                store.update_pull_with_results(&pull, &[plan]).await.unwrap();
            }
        })
        .await;
        let status = stores[0].get_pull_status(&pull).await.unwrap().unwrap();
        assert_eq!(status.projects.unwrap().len(), stores.len(), "round {round}");
    }
}

macro_rules! regressions {
    ($($name:ident: $stores:ident, $count:literal, $race:ident;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            let server = RedisServer::start().await;
            $race($stores(&server, $count).await).await;
        })*
    };
}

regressions! {
    atlantis_has_one_winner_of_a_project: atlantis, 8, projects_have_one_winner;
    atlantis_has_one_winner_of_a_command: atlantis, 8, commands_have_one_winner;
    atlantis_loses_no_update: atlantis, 2, no_update_is_lost;
    adapter_has_one_winner_of_a_project: adapters, 8, projects_have_one_winner;
    adapter_has_one_winner_of_a_command: adapters, 8, commands_have_one_winner;
    adapter_loses_no_update: adapters, 2, no_update_is_lost;
}
