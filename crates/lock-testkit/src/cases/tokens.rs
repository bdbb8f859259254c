//! Fencing tokens: each lease of a key has a higher token than all before it.

use std::slice;
use std::time::Duration;

use lock_core::{Metadata, RequestId, TransferTo};

use super::expect_eq;
use crate::TestContext;

/// Grants the key once more and releases it, and returns the token.
async fn next_token(context: &TestContext) -> u64 {
    let lease = context.granted(&TestContext::ask("key", "alice")).await;
    context.released(&lease).await;
    lease.token.get()
}

/// Every lease of a key has a higher token than the one before, whoever holds it.
pub async fn tokens_increase_with_every_lease(context: TestContext) {
    let mut last = 0;
    for number in 0..50 {
        let request = TestContext::ask("key", &format!("owner-{}", number % 3));
        let lease = context.elsewhere().await.granted(&request).await;
        assert!(lease.token.get() > last, "{} follows {last}", lease.token);
        last = lease.token.get();
        context.released(&lease).await;
    }
}

/// The lease after an expired one has a higher token.
pub async fn tokens_increase_after_expiry(context: TestContext) {
    let ttl = Duration::from_millis(200);
    let mut last = 0;
    for _ in 0..3 {
        let lease = context
            .granted(&TestContext::ask("key", "alice").with_ttl(TestContext::ttl(ttl)))
            .await;
        assert!(lease.token.get() > last, "{} follows {last}", lease.token);
        last = lease.token.get();
        context.elapse(ttl).await;
    }
}

/// Tokens keep increasing even if nothing was left of the key in between.
pub async fn tokens_increase_after_the_key_was_forgotten(context: TestContext) {
    let mut last = 0;
    for _ in 0..100 {
        last = next_token(&context).await;
    }
    context.free("key").await;
    let at_once = next_token(&context).await;
    assert!(at_once > last, "{at_once} follows {last}");

    context.elapse(Duration::from_millis(1500)).await;
    context.free("key").await;
    let later = next_token(&context).await;
    assert!(later > at_once, "{later} follows {at_once}");
}

/// A waiter that is handed the key has a higher token than the holder before it.
pub async fn promoted_lease_has_a_higher_token(context: TestContext) {
    let (first, second) = (TestContext::ask("key", "alice"), TestContext::queueing("key", "bob"));
    let before = context.granted(&first).await;
    context.queued(&second).await;
    context.released(&before).await;
    let after = context.granted(&second).await;
    assert!(after.token > before.token, "{} follows {}", after.token, before.token);
}

/// A transferred lease has a higher token than the giver's.
pub async fn transferred_lease_has_a_higher_token(context: TestContext) {
    let first = TestContext::ask("key", "alice");
    let before = context.granted(&first).await;
    let to = TransferTo::Owner {
        owner: TestContext::owner("bob"),
        request: RequestId::random(),
        metadata: Metadata::default(),
    };
    let after = context.transferred(&before, to).await;
    assert!(after.token > before.token, "{} follows {}", after.token, before.token);
    expect_eq!(context.inspect("key").await.leases, slice::from_ref(&after));
}

/// Leases that follow an eviction have higher tokens, with a waiter and without.
pub async fn tokens_increase_after_eviction(context: TestContext) {
    let (first, second) = (TestContext::ask("key", "alice"), TestContext::queueing("key", "bob"));
    let before = context.granted(&first).await;
    context.queued(&second).await;
    expect_eq!(context.evict("key").await.leases, vec![before.clone()]);
    let waiter = context.granted(&second).await;
    assert!(waiter.token > before.token, "{} follows {}", waiter.token, before.token);

    expect_eq!(context.evict("key").await.leases, vec![waiter.clone()]);
    let newcomer = next_token(&context).await;
    assert!(newcomer > waiter.token.get(), "{newcomer} follows {}", waiter.token);
}

/// Tokens stay below 2^53, so that programs that know only doubles can distinguish them.
pub async fn tokens_are_exact_in_doubles(context: TestContext) {
    for _ in 0..20 {
        let token = next_token(&context).await;
        assert!(token < 1 << 53, "{token} is not exact in a double");
    }
}
