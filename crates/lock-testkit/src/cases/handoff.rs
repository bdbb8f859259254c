//! Hand-off: the command that ends a lease grants the key to the next waiter, and notifies it.

use super::expect_eq;
use crate::{Outcome, TestContext};

/// A waiter holds the key as soon as it is released, with no command of its own.
pub async fn release_grants_to_the_next(context: TestContext) {
    let (held, waiter) = context.holder_and_waiter().await;
    context.released(&held).await;
    let lease = context.only_lease("key").await;
    expect_eq!((lease.request, &lease.owner), (waiter.id, &waiter.owner));
    expect_eq!(context.waiting("key").await, []);
    expect_eq!(context.granted(&waiter).await.token, lease.token);
}

/// Of many waiters, a released exclusive key is granted to one.
pub async fn exactly_one_is_granted(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let waiters = TestContext::patient(5);
    for waiter in &waiters {
        context.queued(waiter).await;
    }
    context.released(&held).await;
    expect_eq!(context.only_lease("key").await.request, waiters[0].id);
    let others: Vec<_> = waiters[1..].iter().map(|waiter| waiter.id).collect();
    expect_eq!(context.waiting("key").await, others);
}

/// Of many waiters, only the granted one is notified: the first notice to the others is their own
/// eviction.
pub async fn exactly_one_is_notified(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let mut waiters = Vec::new();
    for waiter in TestContext::patient(5) {
        let mail = context.elsewhere().await.mail().await;
        let waiter = waiter.with_mailbox(mail.mailbox);
        context.queued(&waiter).await;
        waiters.push((waiter, mail));
    }
    context.released(&held).await;
    let lease = context.only_lease("key").await;
    let grant = waiters[0].1.grant().await;
    expect_eq!((grant.request, grant.token), (waiters[0].0.id, lease.token));
    for (waiter, mail) in &mut waiters[1..] {
        context.evicted_waiter(waiter).await;
        expect_eq!(mail.end_of(waiter.id, None).await, TestContext::end_by_eviction());
    }
    Ok(())
}
