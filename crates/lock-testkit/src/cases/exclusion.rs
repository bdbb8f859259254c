//! Mutual exclusion: of all requests for a key, one holds.

use lock_core::{Acquisition, Holder};

use super::expect_eq;
use crate::TestContext;

/// A second owner is refused, and learns the holder.
pub async fn second_owner_is_refused(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let position = context.refused(&TestContext::ask("key", "bob")).await;
    expect_eq!(position.holder, Some(Holder::from(&held)));
    expect_eq!((position.holders, position.position, position.waiting), (1, 1, 0));
}

/// Of many simultaneous acquires from many connections, one is granted.
pub async fn one_winner_among_many(context: TestContext) {
    let mut asking = Vec::new();
    for number in 0..20 {
        let store = context.connect().await;
        let request = TestContext::ask("key", &format!("owner-{number}"));
        asking.push(tokio::spawn(async move { store.acquire(&request).await }));
    }
    let (mut leases, mut holders) = (Vec::new(), Vec::new());
    for answer in asking {
        match answer.await.expect("the task ends").expect("acquire answers").value {
            Acquisition::Granted(lease) => leases.push(lease),
            Acquisition::Held(position) => holders.extend(position.holder),
            other => panic!("expected a grant or a refusal, got {other:?}"),
        }
    }
    expect_eq!(leases.len(), 1);
    expect_eq!(holders, vec![Holder::from(&leases[0]); 19]);
    expect_eq!(context.inspect("key").await.leases, leases);
}

/// Another request of the holding owner is refused like any other.
pub async fn same_owner_needs_its_own_turn(context: TestContext) {
    let first = TestContext::ask("key", "alice");
    let held = context.granted(&first).await;
    let second = TestContext::ask("key", "alice").with_session(first.session);
    expect_eq!(context.refused(&second).await.holder, Some(Holder::from(&held)));
    context.released(&held).await;
    expect_eq!(context.granted(&second).await.request, second.id);
}

/// A released key is granted to the next request, from any connection.
pub async fn released_key_is_free_again(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    context.released(&held).await;
    context.free("key").await;

    let second = TestContext::ask("key", "bob");
    let lease = context.elsewhere().await.granted(&second).await;
    expect_eq!((lease.owner, lease.request), (second.owner.clone(), second.id));
}

/// A refused request neither waits nor holds, then or later.
pub async fn refused_request_leaves_nothing_behind(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    context.refused(&TestContext::ask("key", "bob")).await;

    let seen = context.inspect("key").await;
    expect_eq!((seen.leases, seen.waiting), (vec![held.clone()], 0));
    expect_eq!(seen.waiters.items, []);
    expect_eq!(context.waits_of("bob").await, []);
    context.released(&held).await;
    context.free("key").await;
}
