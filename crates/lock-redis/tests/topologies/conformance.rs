//! The conformance suite on each topology: all cases share its servers, and each has a prefix.

use std::cell::Cell;
use std::fmt::Debug;
use std::future::Future;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use lock_core::{Capabilities, LockStore};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit::{Case, Fixture, all_cases};

/// The number of cases where the long form of the tests is not asked for, and that run at once.
const SAMPLE: usize = 30;
const AT_ONCE: usize = 4;

/// Servers that all cases share.
pub(crate) trait Servers: Debug + Send + Sync + Sized + 'static {
    fn start() -> impl Future<Output = Self>;
    fn url(&self) -> String;
    /// The address of the running servers.
    fn running() -> &'static OnceLock<String>;
}

/// A store of these servers, with a prefix of its own.
struct Shared<S> {
    prefix: String,
    /// `true` if it keeps a journal.
    has_journal: bool,
    servers: PhantomData<S>,
}

thread_local! {
    /// `true` if the case that the thread runs next needs a journal.
    static NEEDS_JOURNAL: Cell<bool> = const { Cell::new(false) };
}

#[async_trait::async_trait]
impl<S: Servers> Fixture for Shared<S> {
    async fn start() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("case-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { prefix, has_journal: NEEDS_JOURNAL.get(), servers: PhantomData }
    }

    async fn connect(&self) -> Arc<dyn LockStore> {
        let url = S::running().get().expect("the servers run");
        let config = RedisConfig::parse(url).unwrap().with_prefix(&self.prefix).unwrap();
        let config = match self.has_journal {
            true => config.with_journal(NonZeroU32::new(10_000).unwrap()),
            false => config,
        };
        Arc::new(RedisBackend::connect(config).await.expect("the servers are up"))
    }

    async fn elapse(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    async fn set_back(&self, _span: Duration) -> bool {
        false
    }

    fn longest_elapse(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn expected(&self) -> Capabilities {
        let offered = Capabilities::none().with_notices().with_sharing();
        if self.has_journal { offered.with_events() } else { offered }
    }

    fn paused() -> bool {
        false
    }
}

/// Runs the cases, of which a sample is spread over the whole suite.
pub(crate) fn run<S: Servers>() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let servers = runtime.block_on(S::start());
    S::running().set(servers.url()).expect("one run a process");
    let all = all_cases();
    let is_long = std::env::var_os("LOCK_REDIS_LONG").is_some();
    let step = if is_long { 1 } else { all.len() / SAMPLE };
    let sample = if is_long { all.len() } else { SAMPLE };
    let cases: Vec<Case> = all.into_iter().step_by(step).take(sample).collect();
    let count = cases.len();
    let cases = Mutex::new(cases.into_iter());
    let (passed, skipped) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let next = || cases.lock().unwrap().next();
                while let Some(case) = next() {
                    NEEDS_JOURNAL.set(case.name.starts_with("events::"));
                    match lock_testkit::run::<Shared<S>>(&case) {
                        Ok(()) => passed.fetch_add(1, Ordering::Relaxed),
                        Err(_) => skipped.fetch_add(1, Ordering::Relaxed),
                    };
                }
            });
        }
    });
    println!("{passed:?} of {count} cases passed, {skipped:?} skipped");
    assert_eq!(passed.into_inner() + skipped.into_inner(), count);
}
