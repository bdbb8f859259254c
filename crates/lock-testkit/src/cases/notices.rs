//! Notices: a mailbox receives grants, forced ends and asks; a missed notice loses nothing.

use lock_core::machine::SWEEP_LIMIT;
use lock_core::{
    AcquireRequest, End, Heard, Lease, MailboxId, Metadata, Mode, Notice, Renewal, RequestId,
    TransferTo,
};

use super::expect_eq;
use crate::{Mail, Outcome, TestContext};

/// The next notice must be the grant of this request, which must hold the key.
async fn told_of_grant(context: &TestContext, mail: &mut Mail, waiter: &AcquireRequest) {
    let (grant, lease) = (mail.grant().await, context.only_lease("key").await);
    expect_eq!((&grant.key, grant.request), (&waiter.key, waiter.id));
    expect_eq!((grant.token, grant.granted_at), (lease.token, lease.granted_at));
    expect_eq!(grant.expires_at, lease.expires_at);
}

/// A lease of `key`, and a request that waits for it with this mailbox.
async fn waiter_in(context: &TestContext, mailbox: MailboxId) -> (Lease, AcquireRequest) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let waiter = TestContext::queueing("key", "bob").with_mailbox(mailbox);
    context.queued(&waiter).await;
    (held, waiter)
}

/// A waiter is notified of its grant, with the token and the times of the lease.
pub async fn waiter_is_notified_of_its_grant(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let mut mail = context.mail().await;
    let (held, waiter) = waiter_in(&context, mail.mailbox).await;
    context.released(&held).await;
    told_of_grant(&context, &mut mail, &waiter).await;
    Ok(())
}

/// A waiter is notified of a grant that a command of another connection caused.
pub async fn waiter_is_notified_of_a_grant_by_another_connection(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let mut mail = context.mail().await;
    let (held, waiter) = waiter_in(&context, mail.mailbox).await;
    context.elsewhere().await.released(&held).await;
    told_of_grant(&context, &mut mail, &waiter).await;
    Ok(())
}

/// A holder is notified of its eviction, with who and why.
pub async fn holder_is_notified_of_its_eviction(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let mut mail = context.mail().await;
    let holder = TestContext::ask("key", "alice").with_mailbox(mail.mailbox);
    let held = context.granted(&holder).await;
    context.elsewhere().await.evicted_lease(&held).await;
    expect_eq!(mail.end_of(held.request, Some(held.token)).await, TestContext::end_by_eviction());
    Ok(())
}

/// A waiter is notified of its eviction, with who and why.
pub async fn waiter_is_notified_of_its_eviction(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let mut mail = context.mail().await;
    let (_, waiter) = waiter_in(&context, mail.mailbox).await;
    context.elsewhere().await.evicted_waiter(&waiter).await;
    expect_eq!(mail.end_of(waiter.id, None).await, TestContext::end_by_eviction());
    Ok(())
}

/// A holder whose lease is transferred is notified by whom and to whom.
pub async fn giver_is_notified_of_a_transfer(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let mut mail = context.mail().await;
    let giver = TestContext::ask("key", "alice").with_mailbox(mail.mailbox);
    let held = context.granted(&giver).await;
    let (owner, request) = (TestContext::owner("bob"), RequestId::random());
    let to = TransferTo::Owner { owner: owner.clone(), request, metadata: Metadata::default() };
    context.elsewhere().await.transferred(&held, to).await;
    let end = End::Transferred { by: giver.owner, to: owner };
    expect_eq!(mail.end_of(held.request, Some(held.token)).await, end);
    Ok(())
}

/// A waiter to which a lease is transferred is notified of its grant.
pub async fn receiver_is_notified_of_a_transfer(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let mut mail = context.mail().await;
    let (held, waiter) = waiter_in(&context, mail.mailbox).await;
    context.elsewhere().await.transferred(&held, TransferTo::Waiter(waiter.id)).await;
    told_of_grant(&context, &mut mail, &waiter).await;
    Ok(())
}

/// After a renewal that named another mailbox, notices of the lease go there and not to the first.
pub async fn renewal_moves_the_mailbox(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let (mut before, mut after) = (context.mail().await, context.mail().await);
    let held =
        context.granted(&TestContext::ask("key", "alice").with_mailbox(before.mailbox)).await;
    let renewal = context.renew_in(&held, after.mailbox).await;
    assert!(matches!(renewal, Renewal::Renewed { .. }), "expected a renewal, got {renewal:?}");
    context.evicted_lease(&held).await;
    expect_eq!(after.end_of(held.request, Some(held.token)).await, TestContext::end_by_eviction());
    is_quiet(&context, &mut before).await;
    Ok(())
}

/// After a hear from another mailbox, notices of the waiter go there and not to the first.
pub async fn hearing_moves_the_mailbox(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let (mut before, mut after) = (context.mail().await, context.mail().await);
    let (held, waiter) = waiter_in(&context, before.mailbox).await;
    let heard = context.hear_in(&waiter, after.mailbox).await.value;
    assert!(matches!(heard, Heard::Queued(_)), "expected a place in the queue, got {heard:?}");
    context.released(&held).await;
    told_of_grant(&context, &mut after, &waiter).await;
    is_quiet(&context, &mut before).await;
    Ok(())
}

/// The mailbox received nothing so far: its first notice is the one caused here.
async fn is_quiet(context: &TestContext, mail: &mut Mail) {
    let probe = TestContext::ask("a key of its own", "carol").with_mailbox(mail.mailbox);
    let held = context.granted(&probe).await;
    context.evicted_lease(&held).await;
    expect_eq!(mail.end_of(held.request, Some(held.token)).await, TestContext::end_by_eviction());
}

/// If a command grants only some of the waiters that fit, the next head is notified to ask: readers
/// that are heard only upon such a notice are all granted, in turn.
pub async fn next_head_is_notified_to_ask(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let held = context.granted(&TestContext::ask("key", "writer")).await;
    let mut mail = context.mail().await;
    let readers: Vec<_> = TestContext::patient(3 * SWEEP_LIMIT)
        .into_iter()
        .map(|reader| reader.with_mode(Mode::READER).with_mailbox(mail.mailbox))
        .collect();
    for reader in &readers {
        context.queued(reader).await;
    }
    context.released(&held).await;
    let mut granted = Vec::new();
    while granted.len() < readers.len() {
        match mail.next().await {
            Notice::Granted(grant) => granted.push(grant.request),
            Notice::Ask { request, .. } => {
                let head = &readers[granted.len()];
                expect_eq!(request, head.id);
                context.heard_granted(head).await;
            }
            other => panic!("expected a grant or to be told to ask, got {other:?}"),
        }
    }
    expect_eq!(granted, readers.iter().map(|reader| reader.id).collect::<Vec<_>>());
    Ok(())
}

/// A waiter whose mailbox is not open, or that has none, finds its lease when it is heard.
pub async fn missed_notice_is_found_by_hearing(context: TestContext) {
    for mailbox in [Some(MailboxId::random()), None] {
        let held = context.granted(&TestContext::ask("key", "alice")).await;
        let mut waiter = TestContext::queueing("key", "bob");
        waiter.mailbox = mailbox;
        context.queued(&waiter).await;
        context.released(&held).await;
        let handed = context.only_lease("key").await;
        let claimed = context.heard_granted(&waiter).await;
        expect_eq!(claimed, handed.with_expires_at(claimed.expires_at));
        context.released(&claimed).await;
    }
}

/// A mailbox that is opened again, also while requests name it, receives notices as before.
pub async fn mailbox_can_be_opened_again(context: TestContext) -> Outcome {
    context.needs_notices()?;
    let first = context.mail().await;
    let (held, waiter) = waiter_in(&context, first.mailbox).await;
    let mut second = context.open(first.mailbox).await;
    drop(first);
    context.released(&held).await;
    told_of_grant(&context, &mut second, &waiter).await;
    Ok(())
}
