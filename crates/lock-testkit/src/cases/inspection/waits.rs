//! Waiters, page by page: those of a key, of an owner and of a session.

use lock_core::{InspectQuery, SessionId, WaitsQuery};

use super::limit;
use crate::TestContext;
use crate::cases::expect_eq;

/// Every waiting request of an owner is found, on any key.
pub async fn waits_of_an_owner_are_found(context: TestContext) {
    let mut expected = Vec::new();
    for key in ["a", "b", "c"] {
        context.granted(&TestContext::ask(key, "alice")).await;
        for owner in ["bob", "bob2", "bob:a", "Bob", "b*b"] {
            context.queued(&TestContext::queueing(key, owner)).await;
        }
        expected.push(context.inspect(key).await.waiters.items.remove(0));
    }
    context.granted(&TestContext::ask("d", "bob")).await;
    expect_eq!(context.waits_of("bob").await, expected);
    expect_eq!(context.waits_of("alice").await, []);
}

/// Every waiting request of a session is found, and none of another session of its owner.
pub async fn waits_of_a_session_are_found(context: TestContext) {
    let session = SessionId::random();
    let mut expected = Vec::new();
    for key in ["a", "b", "c"] {
        context.granted(&TestContext::ask(key, "alice").with_session(session)).await;
        context.queued(&TestContext::queueing(key, "bob").with_session(session)).await;
        expected.push(context.only_waiter(key).await);
        context.queued(&TestContext::queueing(key, "bob")).await;
        context.queued(&TestContext::queueing(key, "bob").with_session(SessionId::random())).await;
    }
    expect_eq!(context.waits(WaitsQuery::new(session)).await, expected);
    expect_eq!(context.waits(WaitsQuery::new(SessionId::random())).await, []);
    expect_eq!(context.waits_of("bob").await.len(), 9);
}

/// Eleven waiters of an owner on three keys are each found once, on pages of one, four or all.
pub async fn waits_are_paged(context: TestContext) {
    let mut expected = Vec::new();
    for (key, count) in [("a", 7), ("b", 1), ("c", 3)] {
        context.granted(&TestContext::ask(key, "alice")).await;
        for _ in 0..count {
            context.queued(&TestContext::queueing(key, "bob")).await;
            context.queued(&TestContext::queueing(key, "carol")).await;
        }
        let waiters = context.inspect(key).await.waiters.items;
        expected.extend(waiters.into_iter().filter(|waiter| waiter.owner.as_str() == "bob"));
    }
    expected.sort_by_key(|waiter| (waiter.key.clone(), waiter.request));
    for size in [1, 4, 11, 100] {
        let query = WaitsQuery::new(TestContext::owner("bob")).with_limit(limit(size));
        expect_eq!(context.waits(query).await, expected, "on pages of {size}");
    }
}

/// A request is found among the waits of its owner until it is granted or leaves.
pub async fn waits_end_with_the_grant(context: TestContext) {
    let mut pairs = Vec::new();
    for key in ["cancelled", "evicted", "released", "thrown out", "kept"] {
        let waiter = TestContext::queueing(key, "bob");
        let held = context.granted(&TestContext::ask(key, "alice")).await;
        context.queued(&waiter).await;
        pairs.push((held, waiter));
    }
    expect_eq!(context.waits_of("bob").await.len(), 5);
    context.dequeued(&pairs[0].1).await;
    expect_eq!(context.evict("evicted").await.leases.len(), 1);
    context.released(&pairs[2].0).await;
    context.evicted_waiter(&pairs[3].1).await;
    expect_eq!(context.waits_of("bob").await, [context.only_waiter("kept").await]);
}

/// Nine waiters are each shown once and in order, on pages of one, four or all.
pub async fn waiters_are_paged(context: TestContext) {
    context.granted(&TestContext::ask("key", "alice")).await;
    let requests = TestContext::patient(9);
    for request in &requests {
        context.queued(request).await;
    }
    for size in [1, 4, 9, 100] {
        let mut query = InspectQuery::new(TestContext::key("key")).with_limit(limit(size));
        let mut shown = Vec::new();
        loop {
            let seen = context.store().inspect(&query).await.expect("inspect answers").value;
            expect_eq!((seen.waiting, seen.leases.len()), (9, 1));
            assert!(seen.waiters.items.len() <= size as usize, "{seen:?}");
            shown.extend(seen.waiters.items.iter().map(|waiter| waiter.request));
            let Some(next) = seen.waiters.next else { break };
            query = query.after(next);
        }
        expect_eq!(
            shown,
            requests.iter().map(|it| it.id).collect::<Vec<_>>(),
            "on pages of {size}"
        );
    }
}
