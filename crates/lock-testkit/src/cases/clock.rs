//! The store's clock: it may stand still or jump, and order and tokens hold.

use std::time::Duration;

use lock_core::{
    AcquireRequest, CancelRequest, EvictRequest, Holder, Lease, ListQuery, ReleaseRequest,
    RenewRequest, RequestId, Timed, Timestamp, TransferRequest, TransferTo, Ttl, WaitsQuery,
};

use super::expect_eq;
use crate::{Outcome, TestContext};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Holds and releases the key once, and returns the lease.
async fn turn(context: &TestContext) -> Lease {
    let lease = context.granted(&TestContext::ask("key", "alice")).await;
    context.released(&lease).await;
    lease
}

/// Each waiter is granted the key when the one before it releases, in the order given.
async fn take_turns(context: &TestContext, first: &Lease, waiters: &[AcquireRequest]) {
    let order: Vec<RequestId> = waiters.iter().map(|waiter| waiter.id).collect();
    expect_eq!(context.waiting("key").await, order);
    let mut held = first.clone();
    for next in waiters {
        context.released(&held).await;
        held = context.only_lease("key").await;
        expect_eq!(held.request, next.id);
    }
}

/// Each reply is stamped by the store's clock, between the replies before and after it.
pub async fn replies_carry_the_time(context: TestContext) {
    fn at<T>(reply: lock_core::Result<Timed<T>>) -> Timestamp {
        reply.expect("the store answers").observed_at
    }
    let (store, admin) = (context.store(), TestContext::owner("admin"));
    let [alice, bob] = ["alice", "bob"].map(|owner| TestContext::queueing("key", owner));
    let mut replies = vec![context.now().await, context.acquire(&alice).await.observed_at];
    context.queued(&bob).await;
    let held = context.only_lease("key").await;
    let to = TransferTo::Waiter(bob.id);
    let transfer = TransferRequest::new(held.name(), alice.owner.clone(), to);
    let release = ReleaseRequest::new(held.name());
    let evict = EvictRequest::all(held.key.clone(), admin, TestContext::reason());
    let step = Duration::from_millis(10);
    for command in 0..9 {
        context.elapse(step).await;
        replies.push(match command {
            0 => context.hear(&bob).await.observed_at,
            1 => {
                let renewal = RenewRequest::new(held.name(), held.ttl);
                at(store.renew(&[renewal]).await.remove(0))
            }
            2 => at(store.list(&ListQuery::all()).await),
            3 => at(store.waits_of(&WaitsQuery::new(bob.owner.clone())).await),
            4 => at(store.transfer(&transfer).await),
            5 => at(store.release(&release).await),
            6 => at(store.evict(&evict).await),
            7 => at(store.cancel(&CancelRequest::new(bob.key.clone(), bob.id)).await),
            _ => context.look("key").await.observed_at,
        });
    }
    for pair in replies.windows(2).skip(1) {
        assert!(pair[1] >= pair[0].after(step), "the time stood still: {replies:?}");
        assert!(pair[1] < pair[0].after(HOUR), "the time ran away: {replies:?}");
    }
    assert!(held.granted_at == replies[1], "granted at {:?}, {replies:?}", held.granted_at);
}

/// Tokens increase with every lease although no time passes in between.
pub async fn standing_clock_keeps_tokens_increasing(context: TestContext) {
    let mut tokens = Vec::new();
    for _ in 0..100 {
        tokens.push(turn(&context).await.token);
    }
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
}

/// Requests that arrive at the same time are granted in the order of arrival.
pub async fn standing_clock_keeps_arrival_order(context: TestContext) {
    let first = context.granted(&TestContext::ask("key", "first")).await;
    let waiters: Vec<_> =
        (0..30).map(|n| TestContext::queueing("key", &format!("owner {n}"))).collect();
    for waiter in &waiters {
        context.queued(waiter).await;
    }
    take_turns(&context, &first, &waiters).await;
}

/// Tokens increase although the clock jumps back.
pub async fn jump_back_keeps_tokens_increasing(context: TestContext) -> Outcome {
    let mut tokens = vec![turn(&context).await.token];
    for _ in 0..5 {
        context.set_back(HOUR).await?;
        tokens.extend([turn(&context).await.token, turn(&context).await.token]);
    }
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
    Ok(())
}

/// Requests that arrive after a jump back of the clock stand behind the earlier ones.
pub async fn jump_back_keeps_arrival_order(context: TestContext) -> Outcome {
    let first = context.granted(&TestContext::ask("key", "first").with_ttl(Ttl::Never)).await;
    let waiters: Vec<_> =
        (0..6).map(|n| TestContext::queueing("key", &format!("owner {n}"))).collect();
    for (waiter, position) in waiters.iter().zip(1..) {
        let newcomer = TestContext::ask("key", "newcomer");
        expect_eq!(context.refused(&newcomer).await.position, position);
        expect_eq!(context.queued(waiter).await.position, position);
        context.set_back(HOUR).await?;
    }
    take_turns(&context, &first, &waiters).await;
    Ok(())
}

/// A jump back ends no lease, and the next renewal counts from the new time.
pub async fn jump_back_does_not_end_leases(context: TestContext) -> Outcome {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let bob = TestContext::ask("key", "bob");
    context.set_back(HOUR).await?;
    expect_eq!(context.only_lease("key").await, held);
    expect_eq!(context.refused(&bob).await.holder, Some(Holder::from(&held)));
    let renewed = context.renewed(&held).await;
    assert!(renewed.expires_at < held.expires_at, "{renewed:?}");
    expect_eq!(context.only_lease("key").await, renewed);
    context.elapse_long(TestContext::TTL).await?;
    context.granted(&bob).await;
    Ok(())
}

/// A jump forward ends the leases whose time it passes over, and no others; a jump back after
/// that revives none.
pub async fn jump_forward_ends_leases(context: TestContext) -> Outcome {
    context.set_back(Duration::ZERO).await?;
    let over = context.granted(&TestContext::ask("over", "alice")).await;
    let lasting = TestContext::ask("lasting", "alice").with_ttl(TestContext::ttl(3 * HOUR));
    let lasting = context.granted(&lasting).await;
    let never = context.granted(&TestContext::ask("never", "alice").with_ttl(Ttl::Never)).await;
    context.elapse_long(2 * HOUR).await?;
    context.free("over").await;
    context.set_back(2 * HOUR).await?;
    context.free("over").await;
    expect_eq!(context.only_lease("lasting").await, lasting);
    expect_eq!(context.only_lease("never").await, never);
    assert!(
        context.granted(&TestContext::ask("over", "bob")).await.token > over.token,
        "tokens increase"
    );
    Ok(())
}
