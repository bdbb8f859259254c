//! Connections: a command takes effect in the store, and all connections see that.
//!
//! Both connections prepare the state that a case starts from, so that only the command under test
//! must become visible to the other.

use std::time::Duration;

use lock_core::{AcquireRequest, Cancellation, Lease, Release, TransferTo};

use super::expect_eq;
use crate::TestContext;

/// The claim window of a waiter, long after the end of a brief lease.
const WINDOW: Duration = Duration::from_secs(2);

/// Both connections acquire for the request, which holds.
async fn both_hold(both: [&TestContext; 2], request: &AcquireRequest) -> Lease {
    let held = both[0].granted(request).await;
    expect_eq!(both[1].granted(request).await, held);
    held
}

/// Both connections ask for a request that holds `key` and for one that waits for it.
async fn both_hold_and_wait(both: [&TestContext; 2]) -> (Lease, AcquireRequest) {
    let waiter = TestContext::queueing("key", "bob");
    let held = both_hold(both, &TestContext::ask("key", "alice")).await;
    for context in both {
        expect_eq!(context.queued(&waiter).await.position, 1);
    }
    (held, waiter)
}

/// A lease granted to one connection blocks another.
pub async fn another_connection_sees_an_acquire(context: TestContext) {
    let elsewhere = context.elsewhere().await;
    elsewhere.free("key").await;
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    expect_eq!(elsewhere.only_lease("key").await, held);
    expect_eq!(elsewhere.refused(&TestContext::ask("key", "bob")).await.holders, 1);
}

/// A request queued by one connection stands before those of another.
pub async fn another_connection_sees_a_waiter(context: TestContext) {
    let elsewhere = context.elsewhere().await;
    both_hold([&context, &elsewhere], &TestContext::ask("key", "alice")).await;
    let waiter = TestContext::queueing("key", "bob");
    context.queued(&waiter).await;
    expect_eq!(elsewhere.only_waiter("key").await.request, waiter.id);
    expect_eq!(elsewhere.queued(&TestContext::queueing("key", "carol")).await.position, 2);
}

/// A waiter heard by one connection is alive for another.
pub async fn another_connection_sees_a_hearing(context: TestContext) {
    let elsewhere = context.elsewhere().await;
    let (_, waiter) = both_hold_and_wait([&context, &elsewhere]).await;
    let silent_at = elsewhere.only_waiter("key").await.silent_at;
    context.elapse(TestContext::BRIEF).await;
    context.heard_waiting(&waiter).await;
    let heard = elsewhere.only_waiter("key").await;
    assert!(heard.silent_at >= silent_at.after(TestContext::BRIEF), "not heard since: {heard:?}");
}

/// A lease claimed by one connection outlasts its claim window for another.
pub async fn another_connection_sees_a_claim(context: TestContext) {
    let elsewhere = context.elsewhere().await;
    let both = [&context, &elsewhere];
    let waiter = TestContext::ask("key", "bob").queueing(TestContext::keep_alive(WINDOW));
    both_hold(
        both,
        &TestContext::ask("key", "alice").with_ttl(TestContext::ttl(TestContext::BRIEF)),
    )
    .await;
    for connection in both {
        connection.queued(&waiter).await;
    }
    context.elapse(TestContext::BRIEF).await;
    let claimed = context.heard_granted(&waiter).await;
    context.elapse(WINDOW).await;
    expect_eq!(elsewhere.only_lease("key").await, claimed);
}

/// A lease renewed by one connection lasts longer for another.
pub async fn another_connection_sees_a_renewal(context: TestContext) {
    let elsewhere = context.elsewhere().await;
    let request = TestContext::ask("key", "alice").with_ttl(TestContext::ttl(TestContext::BRIEF));
    let held = both_hold([&context, &elsewhere], &request).await;
    let renewed = context.renewed_for(&held, TestContext::ttl(TestContext::TTL)).await;
    expect_eq!(elsewhere.only_lease("key").await, renewed);
    context.elapse(TestContext::BRIEF).await;
    expect_eq!(elsewhere.refused(&TestContext::ask("key", "bob")).await.holders, 1);
}

/// A lease released by one connection is over for another.
pub async fn another_connection_sees_a_release(context: TestContext) {
    let elsewhere = context.elsewhere().await;
    let held = both_hold([&context, &elsewhere], &TestContext::ask("key", "alice")).await;
    expect_eq!(context.release(&held).await, Release::Released);
    elsewhere.free("key").await;
    elsewhere.granted(&TestContext::ask("key", "bob")).await;
}

/// A waiter cancelled by one connection has left the queue for another.
pub async fn another_connection_sees_a_cancel(context: TestContext) {
    let elsewhere = context.elsewhere().await;
    let (held, waiter) = both_hold_and_wait([&context, &elsewhere]).await;
    expect_eq!(context.cancel(&waiter).await, Cancellation::Dequeued);
    expect_eq!(elsewhere.waiting("key").await, []);
    elsewhere.released(&held).await;
    elsewhere.free("key").await;
}

/// A lease transferred by one connection is the receiver's for another.
pub async fn another_connection_sees_a_transfer(context: TestContext) {
    let elsewhere = context.elsewhere().await;
    let (held, waiter) = both_hold_and_wait([&context, &elsewhere]).await;
    let given = context.transferred(&held, TransferTo::Waiter(waiter.id)).await;
    expect_eq!(elsewhere.only_lease("key").await, given);
    expect_eq!(elsewhere.waiting("key").await, []);
}

/// A lease evicted by one connection is over for another.
pub async fn another_connection_sees_an_eviction(context: TestContext) {
    let elsewhere = context.elsewhere().await;
    let held = both_hold([&context, &elsewhere], &TestContext::ask("key", "alice")).await;
    context.evicted_lease(&held).await;
    elsewhere.free("key").await;
    elsewhere.granted(&TestContext::ask("key", "bob")).await;
}

/// A waiter evicted by one connection has left the queue for another.
pub async fn another_connection_sees_an_evicted_waiter(context: TestContext) {
    let elsewhere = context.elsewhere().await;
    let (_, waiter) = both_hold_and_wait([&context, &elsewhere]).await;
    context.evicted_waiter(&waiter).await;
    expect_eq!(elsewhere.waiting("key").await, []);
    expect_eq!(elsewhere.ended(&waiter).await, TestContext::end_by_eviction());
}

/// A request whose commands each use another connection waits, holds and is released.
pub async fn any_connection_continues_a_request(context: TestContext) {
    let (held, waiter) = context.holder_and_waiter().await;
    expect_eq!(context.elsewhere().await.queued(&waiter).await.position, 1);
    expect_eq!(context.elsewhere().await.heard_waiting(&waiter).await.position, 1);
    context.elsewhere().await.released(&held).await;
    let claimed = context.elsewhere().await.heard_granted(&waiter).await;
    expect_eq!(context.elsewhere().await.granted(&waiter).await, claimed);
    let renewed = context.elsewhere().await.renewed(&claimed).await;
    expect_eq!(context.elsewhere().await.only_lease("key").await, renewed);
    expect_eq!(context.elsewhere().await.cancel(&waiter).await, Cancellation::Released);
    expect_eq!(context.elsewhere().await.release(&renewed).await, Release::NotHeld);
    context.free("key").await;
}
