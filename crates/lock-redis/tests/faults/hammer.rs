//! Many who take turns over a line that breaks in every way it can.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use lock_core::LockManager;
use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::RedisServer;
use tokio::time::{Instant, sleep};

use crate::scene::{
    BY_FUNCTIONS, BY_SCRIPTS, Census, PATIENCE, hasty, millis, owner, secs, until_clean, url_of,
    users, within,
};

const KEYS: [&str; 3] = ["one", "two", "three"];
/// Minimum number of grants during or after the failure.
const ENOUGH: usize = 20;

/// Chance that can be repeated.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn within(&mut self, range: &Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        millis(self.within(&range))
    }

    pub(crate) fn micros(&mut self, range: Range<u64>) -> Duration {
        Duration::from_micros(self.within(&range))
    }
}

/// Breaks the line until then, and mends it.
async fn torment(proxy: Arc<Proxy>, end: Instant, mut dice: Dice) {
    while Instant::now() < end {
        match dice.below(6) {
            0 => proxy.cut(),
            1 => proxy.delay(dice.millis(1..60)),
            2 => proxy.stall(),
            3 => proxy.black_hole(),
            4 => proxy.half_open(),
            _ => {
                proxy.refuse();
                proxy.cut();
            }
        }
        sleep(dice.millis(20..400)).await;
        // A line never delivers swallowed bytes later: such connections have to go.
        proxy.cut();
        proxy.heal();
        sleep(dice.millis(20..300)).await;
    }
}

/// Takes turns until then, and on the mended line until there were enough of them.
async fn take_turns(manager: LockManager, census: Arc<Census>, end: Instant, mut dice: Dice) {
    while Instant::now() < end || census.grants() < ENOUGH {
        let key = KEYS[usize::try_from(dice.below(3)).unwrap()];
        let asked = manager.acquire(key).ttl(millis(800)).keep_alive(secs(1));
        let Ok(guard) = asked.wait(secs(2)).await else { continue };
        let held = census.enter(guard).await;
        sleep(dice.millis(0..30)).await;
        match dice.below(8) {
            // Some hold for longer than the line may last.
            0 => drop(tokio::time::timeout(millis(600), held.lost()).await),
            1 => drop(manager.inspect(key).await),
            _ => {}
        }
        // Whether it lasted or not is the line's business.
        drop(census.release(held).await);
    }
}

async fn hammer(seed: u64, user: &str) {
    let server = RedisServer::start_with(users()).await;
    let census = Arc::new(Census::default());
    let mut tasks = Vec::new();
    let (mut managers, mut lines) = (Vec::new(), Vec::new());
    for line in 0..2 {
        let proxy = Arc::new(Proxy::start(server.addr()).await);
        for number in 0..2 {
            let name = format!("manager-{line}-{number}");
            let store = hasty(&url_of(user, proxy.addr()), &name, millis(300)).await;
            let manager = LockManager::new(store, owner(&name));
            managers.push(manager);
        }
        lines.push(proxy);
    }
    let mut seeds = (0..).map(|number| seed * 100 + number);
    let mut dice = || Dice::new(seeds.next().unwrap());
    let end = Instant::now() + secs(5);
    for manager in &managers {
        for _ in 0..3 {
            let (manager, census) = (manager.clone(), Arc::clone(&census));
            tasks.push(tokio::spawn(take_turns(manager, census, end, dice())));
        }
    }
    for proxy in lines {
        tasks.push(tokio::spawn(torment(proxy, end, dice())));
    }
    for task in tasks {
        within("it ends", PATIENCE, task).await.unwrap();
    }
    for manager in managers {
        within("all are seen off", PATIENCE, manager.shutdown()).await;
    }
    until_clean(&server, &KEYS).await;
}

#[tokio::test]
async fn two_never_hold_over_lines_that_break() {
    hammer(1, BY_FUNCTIONS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_never_hold_over_lines_that_break_on_two_threads() {
    hammer(2, BY_FUNCTIONS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_never_hold_by_batches_over_lines_that_break() {
    hammer(3, BY_SCRIPTS).await;
}
