//! More leases and waiters than one command drops, grants or ends.

use lock_core::machine::SWEEP_LIMIT;
use lock_core::{AcquireRequest, Holder, Mode};

use crate::cases::expect_eq;
use crate::{Outcome, TestContext};

/// More leases or waiters than one command drops, grants or ends, three times over.
const MANY: usize = 3 * SWEEP_LIMIT + 10;

/// Many readers that wait patiently.
fn readers() -> impl Iterator<Item = AcquireRequest> {
    TestContext::patient(MANY).into_iter().map(|request| request.with_mode(Mode::READER))
}

/// Leases that are over do not count, even if one command cannot drop them all.
pub async fn many_leases_that_are_over_count_nowhere(context: TestContext) {
    for reader in readers() {
        context.granted(&reader.with_ttl(TestContext::ttl(TestContext::BRIEF))).await;
    }
    context.elapse(TestContext::BRIEF).await;
    let held = context.granted(&TestContext::ask("key", "writer")).await;
    let position = context.refused(&TestContext::ask("key", "late")).await;
    expect_eq!((position.holders, position.holder), (1, Some(Holder::from(&held))));
    expect_eq!(context.only_lease("key").await, held);
}

/// A release grants a bounded number of a long queue of readers, and the commands that follow grant
/// the rest.
pub async fn long_queue_of_readers_is_granted(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "writer")).await;
    let waiters: Vec<_> = readers().collect();
    for waiter in &waiters {
        context.queued(waiter).await;
    }
    context.released(&held).await;
    let mut turns = 0;
    while context.inspect("key").await.waiting > 0 {
        turns += 1;
        assert!(turns <= 10, "ten looks do not grant all readers");
    }
    assert!(turns >= 1, "one command grants more than a few");
    expect_eq!(context.inspect("key").await.holders, MANY as u64);
    for waiter in &waiters {
        expect_eq!(context.heard_granted(waiter).await.request, waiter.id);
    }
}

/// An eviction of many leases ends some of them and reports that more are left, until none are.
pub async fn eviction_of_many_reports_whether_more_are_left(context: TestContext) {
    let mut held = Vec::new();
    for reader in readers() {
        held.push(context.granted(&reader).await.request);
    }
    let (mut evicted, mut more) = (Vec::new(), true);
    while more {
        let eviction = context.evict("key").await;
        let count = eviction.leases.len();
        assert!((1..=2 * SWEEP_LIMIT).contains(&count), "{count} leases end at once");
        evicted.extend(eviction.leases.iter().map(|lease| lease.request));
        more = eviction.more;
        expect_eq!(more, evicted.len() < held.len());
    }
    held.sort_unstable();
    evicted.sort_unstable();
    expect_eq!(evicted, held);
    context.free("key").await;
}

/// An appeal to many holders asks some of them and reports that there are more.
pub async fn appeal_to_many_reports_whether_more_are_left(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let mut held = Vec::new();
    for reader in readers() {
        held.push(context.granted(&reader).await);
    }
    let appeal = TestContext::appeal("key");
    let asked = context.request_release(&appeal).await;
    let count = asked.holders.len();
    assert!((1..=2 * SWEEP_LIMIT).contains(&count), "{count} holders are asked at once");
    assert!(asked.more, "{count} of {MANY} are all");
    for lease in &held[1..] {
        context.released(lease).await;
    }
    let asked = context.request_release(&appeal).await;
    expect_eq!((asked.holders, asked.more), (vec![Holder::from(&held[0])], false));
    Ok(())
}
