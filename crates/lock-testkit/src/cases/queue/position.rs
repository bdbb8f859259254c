//! Positions: the place of a request in the queue, and the holder that blocks it.

use std::time::Duration;

use lock_core::{Cancellation, Holder, Mode, Ttl};

use super::ahead;
use crate::TestContext;
use crate::cases::expect_eq;

/// A position reports the place, the length of the queue and the holder, to requests that are
/// queued, heard and refused.
pub async fn position_reports_rank_and_holder(context: TestContext) {
    let lease = context.granted(&TestContext::ask("key", "alice")).await;
    let holder = Some(Holder::from(&lease));
    for number in 1..=3 {
        let waiter = TestContext::queueing("key", "bob");
        let position = context.queued(&waiter).await;
        expect_eq!((position.position, position.waiting, position.holders), (number, number, 1));
        expect_eq!(position.holder, holder);
        expect_eq!(context.heard_waiting(&waiter).await, position);
    }
    let position = context.refused(&TestContext::ask("key", "carol")).await;
    expect_eq!((position.position, position.waiting, position.holders), (4, 3, 1));
    expect_eq!(position.holder, holder);

    let reader = |secs| {
        let ttl = TestContext::ttl(Duration::from_secs(secs));
        TestContext::ask("read", "alice").with_mode(Mode::READER).with_ttl(ttl)
    };
    let (_, soon, _) = (
        context.granted(&reader(30)).await,
        context.granted(&reader(20)).await,
        context.granted(&reader(40)).await,
    );
    let position = context.refused(&TestContext::ask("read", "carol")).await;
    expect_eq!((position.holders, position.holder), (3, Some(Holder::from(&soon))));
}

/// A position names the next instant at which time alone can lead to a grant: the end of the
/// lease that ends first or, for those behind the head of the queue, the silence of the head.
pub async fn position_names_the_next_change(context: TestContext) {
    let lease = context.granted(&TestContext::ask("key", "alice")).await;
    let head = TestContext::queueing("key", "bob");
    expect_eq!(context.queued(&head).await.next_change_at, lease.expires_at);
    let silent_at = Some(context.only_waiter("key").await.silent_at);
    assert!(silent_at < lease.expires_at, "the head is silent before the lease ends");
    let behind = TestContext::queueing("key", "carol");
    expect_eq!(context.queued(&behind).await.next_change_at, silent_at);
    expect_eq!(context.refused(&TestContext::ask("key", "dave")).await.next_change_at, silent_at);
    expect_eq!(context.heard_waiting(&head).await.next_change_at, lease.expires_at);

    let endless = |owner| TestContext::ask("endless", owner).with_ttl(Ttl::Never);
    context.granted(&endless("alice")).await;
    let head = endless("bob").queueing(TestContext::keep_alive(TestContext::KEEP_ALIVE));
    expect_eq!(context.queued(&head).await.next_change_at, None);
    let silent_at = Some(context.only_waiter("endless").await.silent_at);
    expect_eq!(context.refused(&endless("carol")).await.next_change_at, silent_at);
}

/// When a waiter leaves, granted or cancelled, all waiters behind it move up.
pub async fn positions_move_up(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let waiters = TestContext::patient(4);
    for waiter in &waiters {
        context.queued(waiter).await;
    }
    context.released(&held).await;
    let position = context.queued(&waiters[3]).await;
    expect_eq!((position.position, position.waiting), (3, 3));
    expect_eq!(position.holder.map(|holder| holder.owner), Some(waiters[0].owner.clone()));
    expect_eq!(context.cancel(&waiters[1]).await, Cancellation::Dequeued);
    let position = context.queued(&waiters[3]).await;
    expect_eq!((position.position, position.waiting), (2, 2));
    expect_eq!(context.queued(&waiters[2]).await.position, 1);
}

/// A newcomer of better rank stands before waiters of worse rank; a refused one learns that it
/// would.
pub async fn better_rank_takes_a_better_position(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let (first, second) =
        (TestContext::queueing("key", "bob"), TestContext::queueing("key", "carol"));
    context.queued(&first).await;
    context.queued(&second).await;

    let better = ahead("dave", Duration::from_secs(60));
    let refused = TestContext::ask("key", "erin").with_head_start(better.head_start);
    expect_eq!(context.refused(&refused).await.position, 1);
    let position = context.queued(&better).await;
    expect_eq!((position.position, position.waiting), (1, 3));
    expect_eq!(context.refused(&refused).await.position, 2);
    expect_eq!(context.queued(&first).await.position, 2);
    expect_eq!(context.queued(&second).await.position, 3);
    context.served(&held, &[&better, &first, &second]).await;
}
