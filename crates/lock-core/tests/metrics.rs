//! The metrics of the manager and of a measured store, and their table in the documentation.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::num::NonZeroU32;
use std::time::Duration;

use common::{faulty, manager, settle, waiting};
use lock_core::layer::Metered;
use lock_core::telemetry::{METRICS, MetricKind, MetricUnit};
use lock_core::{ErrorKind, HeadStart, LockManager, Operation, Priority};
use lock_memory::MemoryBackend;
use lock_testkit::telemetry::{Figures, Row, differences, documented};
use lock_testkit::{Fault, Faulty, NoticeFault};
use metrics::LocalRecorderGuard;
use metrics_util::debugging::{DebuggingRecorder, Snapshotter};
use tokio::time::{advance, sleep};

const DOCUMENT: &str = include_str!("../../../docs/metrics.md");
const SECOND: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(30);

/// Records what this thread does.
fn recorder() -> (Snapshotter, LocalRecorderGuard<'static>) {
    let recorder: &'static DebuggingRecorder = Box::leak(Box::new(DebuggingRecorder::new()));
    (recorder.snapshotter(), metrics::set_default_local_recorder(recorder))
}

/// A manager on a measured store, and the store below.
fn measured(owner: &str) -> (LockManager, Faulty<MemoryBackend>) {
    let store = faulty();
    (manager(&Metered::new(store.clone()), owner), store)
}

/// Requests that end in each way.
async fn outcomes(alice: &LockManager, store: &Faulty<MemoryBackend>) {
    let guard = alice.acquire("key").priority(Priority::High).await.unwrap();
    assert!(alice.try_acquire("key").await.unwrap().guard().is_none());
    let over = alice.acquire("key").wait(SECOND).await.unwrap_err();
    assert_eq!(over.kind(), ErrorKind::WaitOver);
    let first = tokio::spawn(alice.acquire("key").priority(Priority::Low).into_future());
    waiting(alice, "key", 1).await;
    let full = alice.acquire("key").queue_limit(NonZeroU32::MIN).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::QueueFull);
    // It ranks before the first.
    let second = tokio::spawn(alice.acquire("key").into_future());
    waiting(alice, "key", 2).await;
    let waiter = alice.inspect("key").await.unwrap().value.waiters.items.remove(0);
    assert!(alice.evict_waiter("key", waiter.request, "stuck").await.unwrap());
    assert_eq!(second.await.unwrap().unwrap_err().kind(), ErrorKind::Ended);
    advance(5 * SECOND).await;
    guard.release().await.unwrap();
    drop(first.await.unwrap().unwrap());
    settle().await;
    let head_start = HeadStart::parse(SECOND).unwrap();
    drop(alice.acquire("other").head_start(head_start).await.unwrap());
    let guard = alice.acquire("key").await.unwrap();
    let mut dropped = Box::pin(alice.acquire("key").into_future());
    assert!(tokio::time::timeout(SECOND, &mut dropped).await.is_err());
    drop(dropped);
    drop(guard);
    let (one, two) = (alice.session(), alice.session());
    let (a, b) = (one.acquire("a").await.unwrap(), two.acquire("b").await.unwrap());
    let waits = tokio::spawn(one.acquire("b").wait(60 * SECOND).into_future());
    waiting(alice, "b", 1).await;
    // The youngest is the victim.
    advance(SECOND).await;
    assert_eq!(two.acquire("a").await.unwrap_err().kind(), ErrorKind::Deadlock);
    drop((a, b));
    drop(waits.await.unwrap().unwrap());
    store.inject(Operation::Acquire, Fault::Hangs);
    let silent = alice.acquire("key").wait(SECOND).await.unwrap_err();
    assert_eq!(silent.kind(), ErrorKind::Unavailable);
    store.heal();
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn outcomes_and_times_of_requests_are_counted() {
    let (snapshotter, _recorder) = recorder();
    let (alice, store) = measured("alice");
    outcomes(&alice, &store).await;
    let figures = Figures::take(&snapshotter);
    let count = |outcome| figures.sum("lock_acquisitions_total", &[("outcome", outcome)]);
    let counts = [
        "granted",
        "held",
        "wait_over",
        "queue_full",
        "ended",
        "deadlock",
        "unavailable",
        "dropped",
    ]
    .map(|outcome| (outcome, count(outcome)));
    let expected = [
        ("granted", 7.0),
        ("held", 1.0),
        ("wait_over", 1.0),
        ("queue_full", 1.0),
        ("ended", 1.0),
        ("deadlock", 1.0),
        ("unavailable", 1.0),
        ("dropped", 1.0),
    ];
    assert_eq!(counts, expected);
    let waits = |priority| figures.values("lock_wait_seconds", &[("priority", priority)]);
    assert_eq!((waits("high"), waits("low")), (vec![0.0], vec![5.0]));
    assert_eq!((waits("other"), waits("critical")), (vec![0.0], vec![]));
    // The first guard was held for the wait that was over and the five seconds.
    assert_eq!(figures.values("lock_hold_seconds", &[])[0], 6.0);
    assert_eq!(figures.sum("lock_hold_seconds", &[]), 7.0);
    assert_eq!(figures.sum("lock_held", &[]), 0.0);
    assert_eq!(figures.sum("lock_waiting", &[]), 0.0);
    let positions = figures.values("lock_queue_position", &[]);
    assert_eq!(positions, [1.0; 6]);
    // One after the release of `key`, one after that of `b`.
    assert_eq!(figures.values("lock_notice_to_guard_seconds", &[]), [0.0, 0.0]);
}

#[tokio::test(start_paused = true)]
async fn gauges_show_what_is_held_and_waits_now() {
    let (snapshotter, _recorder) = recorder();
    let (alice, _store) = measured("alice");
    let guard = alice.acquire("key").await.unwrap();
    let waits = tokio::spawn(alice.acquire("key").into_future());
    waiting(&alice, "key", 1).await;
    let figures = Figures::take(&snapshotter);
    assert_eq!((figures.sum("lock_held", &[]), figures.sum("lock_waiting", &[])), (1.0, 1.0));
    drop(guard);
    let guard = waits.await.unwrap().unwrap();
    // The change since then: one guard for another, and a waiter less.
    let figures = Figures::take(&snapshotter);
    assert_eq!((figures.sum("lock_held", &[]), figures.sum("lock_waiting", &[])), (0.0, -1.0));
    drop(guard);
}

/// Renewals that end in each way, and losses for each reason.
async fn losses(alice: &LockManager, store: &Faulty<MemoryBackend>) {
    let guard = alice.acquire("renewed").ttl(TTL).await.unwrap();
    sleep(TTL / 2).await;
    let adopted = alice.adopt(guard.lease()).await.unwrap();
    assert!(guard.is_lost());
    let evicted = alice.acquire("evicted").ttl(TTL).await.unwrap();
    let bob = manager(store, "bob");
    assert!(bob.evict(evicted.lease(), "stuck").await.unwrap());
    evicted.lost().await;
    store.inject(Operation::Renew, Fault::Refused);
    adopted.lost().await;
    sleep(TTL).await;
    store.heal();
    let over = alice.acquire("over").ttl(TTL).await.unwrap();
    let released = lock_core::ReleaseRequest::new(over.lease().name());
    let _ = lock_core::LockBackend::release(store, &released).await.unwrap();
    over.lost().await;
    let dropped = alice.acquire("dropped").ttl(TTL).await.unwrap();
    store.inject(Operation::Release, Fault::Refused);
    drop(dropped);
    sleep(2 * TTL).await;
    store.heal();
    let used = alice.acquire("used").await.unwrap();
    alice.shutdown().await;
    assert!(used.is_lost());
}

#[tokio::test(start_paused = true)]
async fn renewals_and_losses_are_counted_by_outcome_and_reason() {
    let (snapshotter, _recorder) = recorder();
    let (alice, store) = measured("alice");
    losses(&alice, &store).await;
    let figures = Figures::take(&snapshotter);
    let reasons = ["adopted", "ended", "overdue", "not_held", "shut_down"];
    let counts = reasons.map(|reason| figures.sum("lock_losses_total", &[("reason", reason)]));
    assert_eq!(counts, [1.0; 5], "{reasons:?}");
    let renewals = |outcome| figures.sum("lock_renewals_total", &[("outcome", outcome)]);
    assert_eq!(renewals("not_held"), 1.0);
    assert!(renewals("renewed") >= 1.0, "{}", renewals("renewed"));
    assert!(renewals("failed") >= 2.0, "{}", renewals("failed"));
    assert_eq!(figures.sum("lock_unreleased_total", &[]), 1.0);
    let failed = |operation, kind| {
        let labels = [("operation", operation), ("kind", kind)];
        figures.sum("lock_store_errors_total", &labels)
    };
    assert_eq!(failed("renew", "unavailable"), renewals("failed"));
    assert!(failed("release", "unavailable") > 1.0);
}

#[tokio::test(start_paused = true)]
async fn commands_are_timed_and_those_without_an_answer_counted() {
    let (snapshotter, _recorder) = recorder();
    let (alice, store) = measured("alice");
    store.inject(Operation::Acquire, Fault::AnswerDelayed(SECOND / 4));
    let guard = alice.acquire("key").await.unwrap();
    store.inject(Operation::Acquire, Fault::Hangs);
    let silent = alice.acquire("other").wait(SECOND).await.unwrap_err();
    assert_eq!(silent.kind(), ErrorKind::Unavailable);
    drop(guard);
    settle().await;
    let figures = Figures::take(&snapshotter);
    let times = figures.values("lock_store_seconds", &[("operation", "acquire")]);
    assert_eq!(times, [0.25]);
    let labels = [("operation", "acquire"), ("kind", "unanswered")];
    assert_eq!(figures.sum("lock_store_errors_total", &labels), 1.0);
}

#[tokio::test(start_paused = true)]
async fn metrics_are_those_of_the_table() {
    let (snapshotter, _recorder) = recorder();
    let (alice, store) = measured("alice");
    outcomes(&alice, &store).await;
    losses(&alice, &store).await;
    let figures = Figures::take(&snapshotter);
    let (table, recorded) = (documented(DOCUMENT, "lock-core"), figures.rows("lock_"));
    let differences = differences(&table, &recorded, &["lock_store_errors_total"]);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    // A gauge is zero again.
    let is_used = |name: &&String| figures.sum(name, &[]) > 0.0 || table[*name].kind == "gauge";
    assert_eq!(table.keys().find(|name| !is_used(name)), None, "is not used");
    let shown = format!("{figures:?}");
    for secret in ["alice", "key", "renewed\"", "stuck"] {
        let as_value = format!(": \"{secret}\"");
        assert!(!shown.contains(&as_value), "{secret} is a label");
    }
}

#[test]
fn catalogue_is_that_of_the_table() {
    let table = documented(DOCUMENT, "lock-core");
    let names: Vec<_> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(names.len(), table.len());
    for metric in METRICS {
        let Row { kind, unit, labels } = &table[metric.name];
        let (told, buckets) = match metric.kind {
            MetricKind::Counter => ("counter", None),
            MetricKind::Gauge => ("gauge", None),
            MetricKind::Histogram(buckets) => ("histogram", Some(buckets)),
            _ => ("another", None),
        };
        let told_unit = if metric.unit == MetricUnit::Seconds { "seconds" } else { "count" };
        assert_eq!((told, told_unit), (kind.as_str(), unit.as_str()), "{}", metric.name);
        let mut names: Vec<_> = metric.labels.to_vec();
        names.sort_unstable();
        assert!(names.iter().eq(labels.keys()), "{}", metric.name);
        assert!(buckets.is_none_or(|it| it.is_sorted() && !it.is_empty()), "{}", metric.name);
    }
}

#[tokio::test(start_paused = true)]
async fn lease_that_gives_way_to_its_upgrade_is_not_lost() {
    let (snapshotter, _recorder) = recorder();
    let (alice, store) = measured("alice");
    let bob = manager(&store, "bob");
    let first = alice.acquire("key").shared().ttl(TTL).await.unwrap();
    let second = bob.acquire("key").shared().await.unwrap();
    let upgrade = tokio::spawn(first.upgrade().into_future());
    waiting(&bob, "key", 1).await;
    // The grant is heard of late, and the shared lease renewed before.
    store.inject(Operation::Hear, Fault::Refused);
    store.inject_notices(NoticeFault::Lost);
    sleep(9 * SECOND).await;
    second.release().await.unwrap();
    sleep(2 * SECOND).await;
    store.heal();
    let guard = upgrade.await.unwrap().unwrap();
    settle().await;
    drop(guard);
    let figures = Figures::take(&snapshotter);
    assert_eq!(figures.sum("lock_renewals_total", &[("outcome", "not_held")]), 1.0);
    assert_eq!(figures.sum("lock_losses_total", &[]), 0.0);
}
