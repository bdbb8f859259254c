//! The lifetime of marks.

use std::time::Duration;

use lock_core::machine::MARK_SPAN;

use super::evicted;
use crate::cases::expect_eq;
use crate::{Outcome, TestContext};

/// Five minutes after a short lease or waiter was evicted, its request may hold the key again.
pub async fn mark_ends(context: TestContext) -> Outcome {
    let (request, _, end) = evicted(&context).await;
    let (held, waiter) = context.holder_and_waiter().await;
    context.evicted_waiter(&waiter).await;
    context.released(&held).await;
    context.elapse_long(MARK_SPAN - TestContext::BRIEF).await?;
    for marked in [&request, &waiter] {
        expect_eq!(context.ended(marked).await, end);
    }
    context.elapse_long(TestContext::BRIEF).await?;
    for marked in [&request, &waiter] {
        let held = context.granted(marked).await;
        context.released(&held).await;
    }
    Ok(())
}

/// The mark of a long lease or of a patient waiter lasts until the end of the lease or the
/// patience, at most an hour.
pub async fn mark_lasts_as_long_as_the_lease(context: TestContext) -> Outcome {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let long = TestContext::ask("long", "alice").with_ttl(TestContext::ttl(minutes(20)));
    let longest = TestContext::ask("longest", "alice").with_ttl(TestContext::ttl(minutes(90)));
    let keep_alive = TestContext::keep_alive(minutes(20));
    let patient = TestContext::ask("patient", "alice").queueing(keep_alive);
    for request in [&long, &longest] {
        let held = context.granted(request).await;
        context.evicted_lease(&held).await;
    }
    let held = context.granted(&TestContext::ask("patient", "bob")).await;
    context.queued(&patient).await;
    context.evicted_waiter(&patient).await;
    context.released(&held).await;
    context.elapse_long(keep_alive.span() - TestContext::BRIEF).await?;
    for marked in [&long, &longest, &patient] {
        expect_eq!(context.ended(marked).await, TestContext::end_by_eviction());
    }
    context.elapse_long(minutes(20)).await?;
    for over in [&long, &patient] {
        context.granted(over).await;
    }
    expect_eq!(context.ended(&longest).await, TestContext::end_by_eviction());
    context.elapse_long(minutes(40)).await?;
    context.granted(&longest).await;
    Ok(())
}
