//! Many at once: tasks of one process, and processes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lock_sqlite::Synchronous;

use crate::alone::pair;
use crate::processes::Child;
use crate::{figure, median, micros, middle, open};

const TASKS: u32 = 16;
const PAIRS: u32 = 40;

/// 16 tasks on 16 keys beside one task: they share commits.
pub(crate) fn tasks() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(&folder.path().join("locks.db"), Synchronous::Full));
    let runtime = crate::runtime();
    let (mut one, mut all) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..PAIRS {
                pair(&store, "key").await;
            }
            one.push(start.elapsed() / PAIRS);
            let start = Instant::now();
            let tasks = (0..TASKS).map(|number| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let name = format!("key-{number}");
                    for _ in 0..PAIRS {
                        pair(&store, &name).await;
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.expect("no panic");
            }
            all.push(start.elapsed() / (PAIRS * TASKS));
        });
    }
    let rate = |span: Duration| 1.0 / span.as_secs_f64();
    let (one, all) = (rate(median(one)), rate(median(all)));
    println!("one task: {one:.0} pairs/s, {TASKS} tasks on {TASKS} keys: {all:.0} pairs/s");
    figure("16-tasks", all / one, 3.0, false);
}

/// 8 processes on 8 keys beside 8 processes that write without locks.
pub(crate) fn writers() {
    let (mut ours, mut raws): (Vec<f64>, Vec<f64>) = Default::default();
    for _ in 0..9 {
        for (orders, rates) in [("raw", &mut raws), ("pairs", &mut ours)] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("file.db");
            // One opens the file first, so that none of them measures that.
            drop(open(&folder.path().join("file.db"), Synchronous::Full));
            let mut children = Child::start_all(8, orders, &path);
            children.iter_mut().for_each(Child::go);
            let done: f64 = children.iter_mut().map(Child::number).sum();
            rates.push(done);
        }
    }
    let ratio = middle(ours.iter().zip(&raws).map(|(ours, raw)| ours / raw).collect());
    let (ours, raws) = (middle(ours), middle(raws));
    println!("8 processes on 8 keys: {ours:.0} commits/s, 8 raw writers: {raws:.0} commits/s");
    figure("8-processes", ratio, 0.8, false);
}

/// 2 and 3 processes that take turns on one key, where no other turn hides a waiter that sleeps,
/// beside as many that write without locks.
pub(crate) fn contenders() {
    let mut longest = Duration::ZERO;
    for count in [2, 3] {
        let (mut ours, mut raws): (Vec<f64>, Vec<f64>) = Default::default();
        for _ in 0..5 {
            for (orders, rates) in [("raw", &mut raws), ("contend", &mut ours)] {
                let folder = tempfile::tempdir().expect("a folder");
                let path = folder.path().join("file.db");
                drop(open(&path, Synchronous::Full));
                let mut children = Child::start_all(count, orders, &path);
                children.iter_mut().for_each(Child::go);
                rates.push(children.iter_mut().map(Child::number).sum());
                if orders == "contend" {
                    let waits = children.iter_mut().map(Child::number);
                    longest = waits.map(Duration::from_secs_f64).fold(longest, Duration::max);
                }
            }
        }
        // A turn needs two commits, and a third where it was waited for.
        let ratio = middle(ours.iter().zip(&raws).map(|(ours, raw)| ours / raw).collect());
        let (ours, raws) = (middle(ours), middle(raws));
        println!(
            "{count} processes on one key: {ours:.0} turns/s, {count} raw writers: {raws:.0} commits/s"
        );
        figure(&format!("contend.{count}-processes"), ratio, 0.3, false);
    }
    figure("contend.longest-wait-ms", micros(longest) / 1e3, 100.0, true);
}
