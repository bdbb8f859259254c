//! Tasks that take turns while a server fails, and a check of what they were granted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lock_core::{FencingToken, LockManager, ManagerConfig, OwnerId};
use lock_redis::{RedisBackend, RedisConfig, fencing};
use lock_testkit_redis::server::RedisServer;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// The number of tasks, of their managers, each with connections of its own, and of keys.
const TASKS: usize = 200;
const MANAGERS: usize = 4;
const KEYS: usize = 20;
/// Longer than any wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// A lease in the eyes of its holder.
#[derive(Clone, Copy, Debug)]
struct Held {
    token: FencingToken,
    from: Instant,
    until: Instant,
}

/// Running tasks.
pub(crate) struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    managers: Vec<LockManager>,
}

struct Shared {
    is_over: AtomicBool,
    /// The number of turns of each task.
    turns: Vec<AtomicUsize>,
    history: Mutex<HashMap<usize, Vec<Held>>>,
    /// The resource that the locks protect.
    resource: RedisServer,
    /// The number of its writes that were refused, as a higher token had written.
    refused: AtomicUsize,
}

/// What a load saw.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) grants: usize,
    /// The number of leases that began while another was believed in.
    pub(crate) overlaps: usize,
    /// The number of writes that the resource refused, as a higher token had written.
    pub(crate) refused: usize,
}

impl Load {
    /// Starts tasks on the store of this configuration.
    pub(crate) async fn start(config: &RedisConfig) -> Self {
        let shared = Arc::new(Shared {
            is_over: AtomicBool::new(false),
            turns: (0..TASKS).map(|_| AtomicUsize::new(0)).collect(),
            history: Mutex::default(),
            resource: RedisServer::start().await,
            refused: AtomicUsize::new(0),
        });
        let (mut tasks, mut managers) = (JoinSet::new(), Vec::new());
        for number in 0..MANAGERS {
            let store = RedisBackend::connect(config.clone()).await.unwrap();
            let owner = OwnerId::parse(format!("manager-{number}")).unwrap();
            let terms = ManagerConfig::default().with_ttl(Duration::from_secs(3)).unwrap();
            let terms = terms.with_keep_alive(Duration::from_secs(3)).unwrap();
            let manager = LockManager::with_config(store, owner, terms);
            let resource = redis::Client::open(shared.resource.url()).unwrap();
            let resource = resource.get_multiplexed_async_connection().await.unwrap();
            for task in (number..TASKS).step_by(MANAGERS) {
                let (shared, manager) = (Arc::clone(&shared), manager.clone());
                tasks.spawn(shared.work(task, manager, resource.clone()));
            }
            managers.push(manager);
        }
        Self { shared, tasks, managers }
    }

    /// Waits until every task has had another turn, and returns how long it took until every key was
    /// granted.
    pub(crate) async fn all_served(&self) -> Duration {
        let before: Vec<_> = self.turns();
        let start = Instant::now();
        let mut all_keys = None;
        loop {
            let now = self.turns();
            let is_served: Vec<_> = before.iter().zip(&now).map(|(was, is)| is > was).collect();
            let served = is_served.iter().filter(|is_served| **is_served).count();
            let is_granted = |key: usize| (key..TASKS).step_by(KEYS).any(|task| is_served[task]);
            if (0..KEYS).all(is_granted) {
                all_keys.get_or_insert_with(|| start.elapsed());
            }
            if served == TASKS {
                return all_keys.unwrap_or_default();
            }
            assert!(start.elapsed() < PATIENCE, "{served} of {TASKS} were served");
            sleep(Duration::from_millis(2)).await;
        }
    }

    fn turns(&self) -> Vec<usize> {
        self.shared.turns.iter().map(|turns| turns.load(Ordering::Relaxed)).collect()
    }

    /// Ends the tasks, and checks what they were granted.
    pub(crate) async fn end(mut self) -> Report {
        self.shared.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = timeout(PATIENCE, self.tasks.join_next()).await.unwrap() {
            ended.unwrap();
        }
        for manager in self.managers {
            manager.shutdown().await;
        }
        self.shared.check()
    }
}

impl Shared {
    async fn work(
        self: Arc<Self>,
        task: usize,
        manager: LockManager,
        mut resource: redis::aio::MultiplexedConnection,
    ) {
        let key = task % KEYS;
        while !self.is_over.load(Ordering::Relaxed) {
            let asks = manager.acquire(format!("load/{key}").as_str()).wait(PATIENCE);
            // A failover may lose a place: the wait goes on, or says so.
            let Ok(guard) = asks.await else { continue };
            let (token, from) = (guard.token(), Instant::now());
            let name = format!("resource/{key}");
            let written = fencing::set(&mut resource, &name, token, task).await.unwrap();
            sleep(Duration::from_millis(1)).await;
            let end = guard.deadline().unwrap_or_else(Instant::now);
            let until = Instant::now().min(end);
            if !written {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            // A guard that was lost when it was made held nothing.
            if from < until {
                let held = Held { token, from, until };
                self.history.lock().unwrap().entry(key).or_default().push(held);
            }
            self.turns[task].fetch_add(1, Ordering::Relaxed);
            // The history tells whether it was lost.
            let _ = guard.release().await;
        }
    }

    /// Each lease has a token of its own, and a lease that began later has the higher one, also
    /// beside another that is still believed in.
    fn check(&self) -> Report {
        let (mut grants, mut overlaps) = (0, 0);
        for (key, leases) in &mut *self.history.lock().unwrap() {
            leases.sort_by_key(|held| held.from);
            grants += leases.len();
            for pair in leases.windows(2) {
                let (first, second) = (pair[0], pair[1]);
                assert!(first.token < second.token, "key {key}: {first:?}, then {second:?}");
                overlaps += usize::from(second.from < first.until);
            }
        }
        Report { grants, overlaps, refused: self.refused.load(Ordering::Relaxed) }
    }
}
