//! Notices: a mailbox is told of grants, of ends by force and when to ask; to miss one loses
//! nothing.

use lock_core::machine::SWEEP_LIMIT;
use lock_core::{
    AcquireRequest, End, Heard, Lease, MailboxId, Metadata, Mode, Notice, Renewal, RequestId,
    TransferTo,
};

use super::expect_eq;
use crate::{Mail, Outcome, World};

/// The next that the mailbox is told is the grant of this request, which holds the key.
async fn told_of_grant(world: &World, mail: &mut Mail, waiter: &AcquireRequest) {
    let (grant, lease) = (mail.grant().await, world.only_lease("key").await);
    expect_eq!((&grant.key, grant.request), (&waiter.key, waiter.id));
    expect_eq!((grant.token, grant.granted_at), (lease.token, lease.granted_at));
    expect_eq!(grant.expires_at, lease.expires_at);
}

/// A lease of `key`, and a request that waits for it and is told in `mailbox`.
async fn waiter_in(world: &World, mailbox: MailboxId) -> (Lease, AcquireRequest) {
    let held = world.granted(&World::ask("key", "alice")).await;
    let waiter = World::queueing("key", "bob").with_mailbox(mailbox);
    world.queued(&waiter).await;
    (held, waiter)
}

/// A waiter is told of its grant, with the token and the times of the lease.
pub async fn grant_is_told(world: World) -> Outcome {
    world.needs_notices()?;
    let mut mail = world.mail().await;
    let (held, waiter) = waiter_in(&world, mail.mailbox).await;
    world.released(&held).await;
    told_of_grant(&world, &mut mail, &waiter).await;
    Ok(())
}

/// A waiter is told of a grant that the command of another connection caused.
pub async fn grant_by_another_connection_is_told(world: World) -> Outcome {
    world.needs_notices()?;
    let mut mail = world.mail().await;
    let (held, waiter) = waiter_in(&world, mail.mailbox).await;
    world.elsewhere().await.released(&held).await;
    told_of_grant(&world, &mut mail, &waiter).await;
    Ok(())
}

/// A holder is told of its eviction, with who and why.
pub async fn eviction_is_told(world: World) -> Outcome {
    world.needs_notices()?;
    let mut mail = world.mail().await;
    let holder = World::ask("key", "alice").with_mailbox(mail.mailbox);
    let held = world.granted(&holder).await;
    world.elsewhere().await.evicted_lease(&held).await;
    expect_eq!(mail.end_of(held.request, Some(held.token)).await, World::end_by_eviction());
    Ok(())
}

/// A waiter is told of its eviction, with who and why.
pub async fn eviction_of_a_waiter_is_told(world: World) -> Outcome {
    world.needs_notices()?;
    let mut mail = world.mail().await;
    let (_, waiter) = waiter_in(&world, mail.mailbox).await;
    world.elsewhere().await.evicted_waiter(&waiter).await;
    expect_eq!(mail.end_of(waiter.id, None).await, World::end_by_eviction());
    Ok(())
}

/// A holder whose lease is handed over is told by whom and to whom.
pub async fn transfer_is_told_to_the_giver(world: World) -> Outcome {
    world.needs_notices()?;
    let mut mail = world.mail().await;
    let giver = World::ask("key", "alice").with_mailbox(mail.mailbox);
    let held = world.granted(&giver).await;
    let (owner, request) = (World::owner("bob"), RequestId::random());
    let to = TransferTo::Owner { owner: owner.clone(), request, metadata: Metadata::default() };
    world.elsewhere().await.transferred(&held, to).await;
    let end = End::Transferred { by: giver.owner, to: owner };
    expect_eq!(mail.end_of(held.request, Some(held.token)).await, end);
    Ok(())
}

/// A waiter that is handed a lease by name is told of its grant.
pub async fn transfer_is_told_to_the_receiver(world: World) -> Outcome {
    world.needs_notices()?;
    let mut mail = world.mail().await;
    let (held, waiter) = waiter_in(&world, mail.mailbox).await;
    world.elsewhere().await.transferred(&held, TransferTo::Waiter(waiter.id)).await;
    told_of_grant(&world, &mut mail, &waiter).await;
    Ok(())
}

/// A lease whose renewal named another mailbox is told of there, and not in the first.
pub async fn renewal_moves_the_mailbox(world: World) -> Outcome {
    world.needs_notices()?;
    let (mut before, mut after) = (world.mail().await, world.mail().await);
    let held = world.granted(&World::ask("key", "alice").with_mailbox(before.mailbox)).await;
    let renewal = world.renew_in(&held, after.mailbox).await;
    assert!(matches!(renewal, Renewal::Renewed { .. }), "expected a renewal, got {renewal:?}");
    world.evicted_lease(&held).await;
    expect_eq!(after.end_of(held.request, Some(held.token)).await, World::end_by_eviction());
    is_quiet(&world, &mut before).await;
    Ok(())
}

/// A waiter that was heard from another mailbox is told there, and not in the first.
pub async fn hearing_moves_the_mailbox(world: World) -> Outcome {
    world.needs_notices()?;
    let (mut before, mut after) = (world.mail().await, world.mail().await);
    let (held, waiter) = waiter_in(&world, before.mailbox).await;
    let heard = world.hear_in(&waiter, after.mailbox).await.value;
    assert!(matches!(heard, Heard::Queued(_)), "expected a place in the queue, got {heard:?}");
    world.released(&held).await;
    told_of_grant(&world, &mut after, &waiter).await;
    is_quiet(&world, &mut before).await;
    Ok(())
}

/// The mailbox was told nothing so far: the first that it is told is what is caused now.
async fn is_quiet(world: &World, mail: &mut Mail) {
    let probe = World::ask("a key of its own", "carol").with_mailbox(mail.mailbox);
    let held = world.granted(&probe).await;
    world.evicted_lease(&held).await;
    expect_eq!(mail.end_of(held.request, Some(held.token)).await, World::end_by_eviction());
}

/// Where a command grants only some of those that fit, the next head is told to ask: readers that
/// are heard only when they are told so are all granted, each in its turn.
pub async fn next_head_is_told_to_ask(world: World) -> Outcome {
    world.needs_notices()?;
    let held = world.granted(&World::ask("key", "writer")).await;
    let mut mail = world.mail().await;
    let readers: Vec<_> = World::patient(3 * SWEEP_LIMIT)
        .into_iter()
        .map(|reader| reader.with_mode(Mode::READER).with_mailbox(mail.mailbox))
        .collect();
    for reader in &readers {
        world.queued(reader).await;
    }
    world.released(&held).await;
    let mut granted = Vec::new();
    while granted.len() < readers.len() {
        match mail.next().await {
            Notice::Granted(grant) => granted.push(grant.request),
            Notice::Ask { request, .. } => {
                let head = &readers[granted.len()];
                expect_eq!(request, head.id);
                world.heard_granted(head).await;
            }
            other => panic!("expected a grant or to be told to ask, got {other:?}"),
        }
    }
    expect_eq!(granted, readers.iter().map(|reader| reader.id).collect::<Vec<_>>());
    Ok(())
}

/// A waiter whose mailbox is not open, or that has none, finds its lease when it is heard.
pub async fn missed_notice_is_found_by_hearing(world: World) {
    for mailbox in [Some(MailboxId::random()), None] {
        let held = world.granted(&World::ask("key", "alice")).await;
        let mut waiter = World::queueing("key", "bob");
        waiter.mailbox = mailbox;
        world.queued(&waiter).await;
        world.released(&held).await;
        let handed = world.only_lease("key").await;
        let claimed = world.heard_granted(&waiter).await;
        expect_eq!(claimed, handed.with_expires_at(claimed.expires_at));
        world.released(&claimed).await;
    }
}

/// A mailbox that is opened again, also while requests name it, is told as before.
pub async fn mailbox_can_be_opened_again(world: World) -> Outcome {
    world.needs_notices()?;
    let first = world.mail().await;
    let (held, waiter) = waiter_in(&world, first.mailbox).await;
    let mut second = world.open(first.mailbox).await;
    drop(first);
    world.released(&held).await;
    told_of_grant(&world, &mut second, &waiter).await;
    Ok(())
}
