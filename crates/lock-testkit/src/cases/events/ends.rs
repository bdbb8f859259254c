//! Forced ends and expiry.

use std::slice;

use lock_core::{Change, EventFilter, TransferTo};

use super::{next, watch};
use crate::cases::expect_eq;
use crate::{Outcome, TestContext};

/// The event of an eviction names the lease or the waiter that ended, who ended it and why.
pub async fn eviction_event_names_who_and_why(context: TestContext) -> Outcome {
    context.needs_events()?;
    let (held, bob) = context.holder_and_waiter().await;
    let waiter = context.only_waiter("key").await;
    let mut events = watch(&context, EventFilter::all()).await;
    expect_eq!(context.evict_waiter(&bob).await.waiter, Some(waiter.clone()));
    expect_eq!(context.evict("key").await.leases, slice::from_ref(&held));
    let (by, reason) = (TestContext::owner("admin"), TestContext::reason());
    let (why, who) = (reason.clone(), by.clone());
    expect_eq!(next(&mut events).await.change, Change::WaiterEvicted { waiter, by, reason });
    let evicted = Change::Evicted { lease: held, by: who, reason: why };
    expect_eq!(next(&mut events).await.change, evicted);
    Ok(())
}

/// The event of a transfer names both leases, and concerns both owners.
pub async fn transfer_event_names_both(context: TestContext) -> Outcome {
    context.needs_events()?;
    let (from, bob) = context.holder_and_waiter().await;
    let mut watchers = Vec::new();
    for owner in [&from.owner, &bob.owner] {
        watchers.push(watch(&context, EventFilter::all().with_owner(owner.clone())).await);
    }
    let to = context.transferred(&from, TransferTo::Waiter(bob.id)).await;
    let transferred = Change::Transferred { from, to };
    for mut events in watchers {
        expect_eq!(next(&mut events).await.change, transferred);
    }
    Ok(())
}

/// The expiry of a lease is an event at the next command, before the grant that follows.
pub async fn expiry_is_an_event(context: TestContext) -> Outcome {
    context.needs_events()?;
    let held = context
        .granted(&TestContext::ask("key", "alice").with_ttl(TestContext::ttl(TestContext::BRIEF)))
        .await;
    context.queued(&TestContext::queueing("key", "bob")).await;
    let mut events = watch(&context, EventFilter::all()).await;
    context.elapse(TestContext::BRIEF).await;
    let handed = context.only_lease("key").await;
    expect_eq!(next(&mut events).await.change, Change::Expired(held.clone()));
    expect_eq!(next(&mut events).await.change, Change::Granted(handed.clone()));
    Ok(())
}

/// Cancelled waiters and silent waiters are events.
pub async fn lapsed_and_cancelled_waiters_are_events(context: TestContext) -> Outcome {
    context.needs_events()?;
    context.granted(&TestContext::ask("key", "alice")).await;
    let mut events = watch(&context, EventFilter::all()).await;
    let bob = TestContext::queueing("key", "bob");
    context.queued(&bob).await;
    let cancelled = context.only_waiter("key").await;
    context.dequeued(&bob).await;
    context
        .queued(
            &TestContext::ask("key", "carol").queueing(TestContext::keep_alive(TestContext::BRIEF)),
        )
        .await;
    let lapsed = context.only_waiter("key").await;
    context.elapse(TestContext::BRIEF).await;
    expect_eq!(context.waiting("key").await, []);
    expect_eq!(next(&mut events).await.change, Change::Queued(cancelled.clone()));
    expect_eq!(next(&mut events).await.change, Change::Cancelled(cancelled.clone()));
    expect_eq!(next(&mut events).await.change, Change::Queued(lapsed.clone()));
    expect_eq!(next(&mut events).await.change, Change::Lapsed(lapsed.clone()));
    Ok(())
}
