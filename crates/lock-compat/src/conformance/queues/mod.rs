//! Cases of the queues of a [`LockAdapter`], on every lock store: the faults of the queues that were
//! to replace Atlantis' locking among them.

pub mod changes;
pub mod places;

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use lock_core::{LockManager, LockStore, OwnerId};
use tokio::task::JoinHandle;

use super::lock;
use crate::documents::DocumentStore;
use crate::legacy::{LegacyKey, ProjectLock};
use crate::{AcquireOptions, LockAdapter, ProjectQueue, Queues, Result};

/// A lock store that offers events, and what is kept beside it.
#[async_trait]
pub trait QueueFixture: Send + Sync + Sized + 'static {
    /// The documents beside the locks.
    type Documents: DocumentStore;

    /// Starts an empty store.
    async fn start() -> Self;

    /// The store, the same at every call.
    fn store(&self) -> Arc<dyn LockStore>;

    /// The documents, the same at every call.
    fn documents(&self) -> Self::Documents;

    /// An adapter as a process of its own has it.
    fn process(&self) -> LockAdapter {
        let owner = OwnerId::parse("atlantis").expect("an owner");
        LockAdapter::new(LockManager::new(self.store(), owner), self.documents())
    }
}

/// Runs one case on a store of its own, in a runtime of its own.
pub fn run<F: QueueFixture, C: Future<Output = ()>>(case: impl FnOnce(F) -> C) {
    super::run_in_a_runtime(async { case(F::start().await).await });
}

/// Makes a test of each case, on the stores of a [`QueueFixture`].
#[macro_export]
macro_rules! queue_conformance {
    ($fixture:ty) => {
        $crate::queue_conformance! { ($fixture)
            places::store_without_locks_has_no_queues,
            places::project_without_a_queue_has_none,
            places::queue_shows_whoever_joined_it,
            places::position_is_the_place_and_not_the_length,
            places::pulls_of_one_moment_stand_in_the_order_of_their_arrival,
            places::names_numbers_and_lists_outlive_the_queue,
            places::queues_are_the_same_in_every_process,
            places::queues_of_a_repository_are_its_own,
            places::queues_of_a_pull_show_its_places,
            places::project_at_two_hosts_has_two_queues,
            changes::cancelled_pull_is_in_no_queue,
            changes::next_pull_gets_the_lock_with_its_own_user,
            changes::event_of_a_transfer_names_both_authors,
            places::statistics_count_what_there_is,
            places::grant_that_nobody_claimed_is_counted_apart,
            changes::lock_that_cannot_be_read_hides_no_queue,
            changes::queues_are_read_while_projects_come_and_go,
            changes::name_without_a_key_is_refused_with_its_limit,
        }
    };
    (($fixture:ty) $($module:ident::$case:ident,)*) => {
        $(#[test]
        fn $case() {
            $crate::conformance::queues::run::<$fixture, _>(
                $crate::conformance::queues::$module::$case,
            );
        })*
    };
}

fn of(num: i64) -> ProjectLock {
    lock("owner/repo", "path", "default", num)
}

/// Starts to wait, and returns when the request stands in the queue.
pub async fn joins(
    adapter: &LockAdapter,
    lock: ProjectLock,
    options: AcquireOptions,
) -> JoinHandle<Result<ProjectLock>> {
    let (name, pull) = (LegacyKey::of(&lock), lock.pull.clone());
    let waiting = adapter.clone();
    let task = tokio::spawn(async move { waiting.acquire(lock, &options).await });
    let is_there = async || {
        let found = adapter.queues_of_pull(&pull.base_repo.full_name, pull.num).await.unwrap();
        found.queues.iter().any(|queue| queue.name.to_string() == name.to_string())
    };
    while !is_there().await {
        tokio::task::yield_now().await;
    }
    task
}

async fn queues_up(adapter: &LockAdapter, lock: ProjectLock) {
    drop(joins(adapter, lock, AcquireOptions::default()).await);
}

/// The numbers of the pull requests in each queue.
fn numbers(found: &Queues) -> Vec<(String, Vec<i64>)> {
    let numbers = |queue: &ProjectQueue| {
        let waiters = queue.waiters.iter();
        waiters.map(|waiter| waiter.pull.as_ref().unwrap().num).collect()
    };
    found.queues.iter().map(|queue| (queue.name.to_string(), numbers(queue))).collect()
}
