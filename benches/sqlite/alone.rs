//! One task alone.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use lock_core::{Acquisition, HearRequest, KeepAlive, LockBackend, ReleaseRequest};
use lock_sqlite::{SqliteBackend, Synchronous};

use crate::raw::Raw;
use crate::{figure, key, median, micros, middle, open, request, runtime};

const ROUNDS: usize = 60;
const PAIRS: u32 = 50;

/// Acquires and releases, beside two raw transactions, in turns so that both meet the same disk.
pub(crate) fn pairs() {
    for (name, synchronous, target) in
        [("pair.normal", Synchronous::Normal, 2.0), ("pair.full", Synchronous::Full, 1.2)]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(&folder.path().join("locks.db"), synchronous);
        let raw = Raw::open(&folder.path().join("raw.db"), synchronous);
        let runtime = runtime();
        let (mut ours, mut raws) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for _ in 0..2 * PAIRS {
                raw.commit("key");
            }
            raws.push(start.elapsed() / PAIRS);
            let start = Instant::now();
            runtime.block_on(async {
                for _ in 0..PAIRS {
                    pair(&store, "key").await;
                }
            });
            ours.push(start.elapsed() / PAIRS);
        }
        // A disk that others use is now fast, now slow: each round is compared with itself.
        let ratios =
            ours.iter().zip(&raws).map(|(ours, raw)| ours.as_secs_f64() / raw.as_secs_f64());
        let ratio = middle(ratios.collect());
        let (ours, raws) = (micros(median(ours)), micros(median(raws)));
        println!("{name}: {ours:.1} us, raw {raws:.1} us");
        figure(name, ratio, target, true);
    }
}

/// The two raw transactions on a thread of their own, which a task asks and waits for: the least that a
/// store costs that keeps the disk away from the threads of a runtime.
pub(crate) fn floor() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("raw.db");
    let raw = Raw::open(&path, Synchronous::Full);
    let (jobs, asked) = mpsc::channel::<oneshot::Sender<()>>();
    let other = folder.path().join("other.db");
    let thread = std::thread::spawn(move || {
        let raw = Raw::open(&other, Synchronous::Full);
        for answer in asked {
            raw.commit("key");
            let _ = answer.send(());
        }
    });
    let runtime = runtime();
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..2 * PAIRS {
            raw.commit("key");
        }
        let bare = start.elapsed();
        let start = Instant::now();
        runtime.block_on(async {
            for _ in 0..2 * PAIRS {
                let (answer, answered) = oneshot::channel();
                jobs.send(answer).expect("the thread lives");
                answered.await.expect("an answer");
            }
        });
        ratios.push(start.elapsed().as_secs_f64() / bare.as_secs_f64());
    }
    drop(jobs);
    thread.join().expect("no panic");
    println!(
        "two raw transactions on a thread of their own: {:.3} of the raw ones",
        middle(ratios)
    );
}

pub(crate) async fn pair(store: &SqliteBackend, name: &str) {
    let granted = store.acquire(&request(&key(name))).await.expect("acquire answers");
    let Acquisition::Granted(lease) = granted.value else { unreachable!("nobody else holds") };
    let _ = store.release(&ReleaseRequest::new(lease.name())).await.expect("release answers");
}

/// Cost of a command by the length of the queue.
pub(crate) fn queues() {
    let runtime = runtime();
    for length in [0, 10, 100, 999] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(&folder.path().join("locks.db"), Synchronous::Normal);
        runtime.block_on(async {
            let keep_alive = KeepAlive::parse(Duration::from_secs(3600)).expect("valid");
            let ask = || request(&key("key")).queueing(keep_alive);
            let _ = store.acquire(&ask()).await.expect("acquire answers");
            let mut last = ask();
            for _ in 0..=length {
                last = ask();
                let _ = store.acquire(&last).await.expect("acquire answers");
            }
            let hear = HearRequest::new(last.key.clone(), last.id);
            let mut spans = Vec::new();
            for _ in 0..50 {
                let start = Instant::now();
                let heard = store.hear(std::slice::from_ref(&hear)).await;
                heard.into_iter().for_each(|heard| drop(heard.expect("hear answers")));
                spans.push(start.elapsed());
            }
            println!("hear in a queue of {}: {:.0} us", length + 1, micros(median(spans)));
        });
    }
}
