//! Upgrades: a shared lease becomes exclusive.

use lock_core::{AcquireRequest, Acquisition, Lease, Mode};

use super::expect_eq;
use crate::TestContext;

fn reader(owner: &str) -> AcquireRequest {
    TestContext::ask("key", owner).with_mode(Mode::READER)
}

/// A patient request in the place of this lease.
fn upgrade(lease: &Lease) -> AcquireRequest {
    let mode = Mode::Upgrade { request: lease.request, token: lease.token };
    TestContext::queueing("key", lease.owner.as_str()).with_mode(mode)
}

/// The key has one exclusive lease: that of this request, later than `before`.
async fn holds_alone(context: &TestContext, request: &AcquireRequest, before: &Lease) {
    let lease = context.only_lease("key").await;
    expect_eq!((lease.request, lease.mode), (request.id, Mode::Exclusive));
    assert!(lease.token > before.token, "{} follows {}", lease.token, before.token);
}

/// The only reader gets the key exclusively at once, in the place of its lease, and once.
pub async fn only_reader_upgrades_at_once(context: TestContext) {
    let held = context.granted(&reader("alice")).await;
    let asked = upgrade(&held);
    let lease = context.granted(&asked).await;
    expect_eq!(context.granted(&asked).await, lease);
    holds_alone(&context, &asked, &held).await;
    context.refused(&reader("bob")).await;
    expect_eq!(context.release(&held).await, lock_core::Release::NotHeld);
    context.released(&lease).await;
    context.free("key").await;
}

/// An upgrade waits until the other readers are gone, and its lease lasts meanwhile.
pub async fn upgrade_waits_for_the_other_readers(context: TestContext) {
    let (held, bob) =
        (context.granted(&reader("alice")).await, context.granted(&reader("bob")).await);
    let asked = upgrade(&held);
    expect_eq!(context.queued(&asked).await.position, 1);
    context.renewed(&held).await;
    context.released(&bob).await;
    context.heard_granted(&asked).await;
    holds_alone(&context, &asked, &held).await;
}

/// An upgrade ranks before requests that came earlier and have the longest head start; a newcomer
/// waits behind all of them.
pub async fn upgrade_passes_the_queue(context: TestContext) {
    let (held, bob) =
        (context.granted(&reader("alice")).await, context.granted(&reader("bob")).await);
    let longest = lock_core::HeadStart::parse(lock_core::HeadStart::MAX).expect("the longest");
    let writer = TestContext::queueing("key", "carol").with_head_start(longest);
    context.queued(&writer).await;
    let asked = upgrade(&held);
    expect_eq!(context.queued(&asked).await.position, 1);
    expect_eq!(context.heard_waiting(&writer).await.position, 2);
    let late = TestContext::queueing("key", "dave").with_mode(Mode::READER);
    expect_eq!(context.queued(&late).await.position, 3);
    context.released(&bob).await;
    let lease = context.heard_granted(&asked).await;
    holds_alone(&context, &asked, &held).await;
    context.released(&lease).await;
    expect_eq!(context.holding("key").await, [writer.id]);
}

/// Of two holders that upgrade, the second is refused, keeps its lease, and lets the first go on.
pub async fn second_upgrade_is_a_deadlock(context: TestContext) {
    let (held, bob) =
        (context.granted(&reader("alice")).await, context.granted(&reader("bob")).await);
    let asked = upgrade(&held);
    context.queued(&asked).await;
    let second = upgrade(&bob);
    match context.acquire(&second).await.value {
        Acquisition::Deadlock(position) => expect_eq!(position.holders, 2),
        other => panic!("expected a deadlock, got {other:?}"),
    }
    expect_eq!(context.waiting("key").await, [asked.id]);
    context.renewed(&bob).await;
    context.released(&bob).await;
    context.heard_granted(&asked).await;
    holds_alone(&context, &asked, &held).await;
}

/// An upgrade of a lease that is over, or of another token, takes nothing and waits for nothing.
pub async fn upgrade_needs_its_lease(context: TestContext) {
    let held = context.granted(&reader("alice")).await;
    context.released(&held).await;
    expect_eq!(context.acquire(&upgrade(&held)).await.value, Acquisition::NotHeld);
    context.free("key").await;
    let evicted = context.granted(&reader("bob")).await;
    context.evicted_lease(&evicted).await;
    expect_eq!(context.ended(&upgrade(&evicted)).await, TestContext::end_by_eviction());
    context.free("key").await;
}
