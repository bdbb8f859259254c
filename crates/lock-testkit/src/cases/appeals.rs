//! Appeals: holders are asked to release.

use lock_core::{AcquireRequest, Holder, Mode, Notice};

use super::expect_eq;
use crate::{Outcome, TestContext};

fn reader(owner: &str) -> AcquireRequest {
    TestContext::ask("key", owner).with_mode(Mode::READER)
}

/// Every holder is notified of who wants the key, why and how soon, also by another connection, and
/// the answer lists the holders.
pub async fn holders_are_asked_to_release(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let mut mail = context.mail().await;
    let held = context.granted(&reader("alice").with_mailbox(mail.mailbox)).await;
    let other = context.granted(&reader("bob")).await;
    let appeal = TestContext::appeal("key");
    let asked = context.elsewhere().await.request_release(&appeal).await;
    let mut holders = asked.holders;
    holders.sort_by_key(|holder| holder.token);
    expect_eq!(holders, [Holder::from(&held), Holder::from(&other)]);
    expect_eq!(asked.more, false);
    let wanted = Notice::Wanted {
        key: held.key.clone(),
        request: held.request,
        token: held.token,
        by: appeal.by,
        reason: appeal.reason,
        within: appeal.within,
    };
    expect_eq!(mail.next().await, wanted);
    expect_eq!(context.request_release(&TestContext::appeal("other")).await.holders, []);
    Ok(())
}

/// An appeal leaves leases and waiters as they are.
pub async fn appeal_changes_no_lease(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let (held, waiter) = context.holder_and_waiter().await;
    let asked = context.request_release(&TestContext::appeal("key")).await;
    expect_eq!(asked.holders, [Holder::from(&held)]);
    expect_eq!(context.only_lease("key").await, held);
    expect_eq!(context.waiting("key").await, [waiter.id]);
    Ok(())
}

/// An appeal up to the token of a lease asks neither later holders nor those of other keys.
pub async fn appeal_spares_later_leases(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let first = context.granted(&reader("alice")).await;
    let mut mail = context.mail().await;
    let second = context.granted(&reader("bob").with_mailbox(mail.mailbox)).await;
    let appeal = TestContext::appeal("key");
    let asked = context.request_release(&appeal.clone().up_to(first.token)).await;
    expect_eq!(asked.holders, [Holder::from(&first)]);
    let asked = context.request_release(&appeal.up_to(second.token)).await;
    expect_eq!(asked.holders.len(), 2);
    assert!(matches!(mail.next().await, Notice::Wanted { token, .. } if token == second.token));
    Ok(())
}
