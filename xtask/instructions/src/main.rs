//! Work for a tool that counts instructions: so many turns of one kind, and nothing else.
//!
//! `instructions CASE TURNS`. The difference of two runs, divided by the difference of their turns,
//! is what one turn costs, without what the program costs to start.

use std::future::poll_fn;
use std::hint::black_box;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, KeepAlive, LeaseName, LockBackend, LockKey, LockManager,
    MailboxId, Notice, OwnerId, Release, ReleaseRequest, RequestId,
};
use lock_memory::MemoryBackend;
use lockable::LockPool;
use tokio::runtime::Builder;
use tokio::task::yield_now;

const USAGE: &str = "instructions lockable|pair|guard|drop|handoff-10|handoff-10000 TURNS";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, case, turns] = args.as_slice() else { unreachable!("usage: {USAGE}") };
    let turns = turns.parse().expect("a number of turns");
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime can start");
    runtime.block_on(async {
        match case.as_str() {
            "lockable" => lockable(turns).await,
            "pair" => pair(turns).await,
            "guard" => guard(turns).await,
            "drop" => guard_dropped(turns).await,
            "handoff-10" => handoff(turns, 10).await,
            "handoff-10000" => handoff(turns, 10_000).await,
            _ => unreachable!("usage: {USAGE}"),
        }
    });
}

fn key() -> LockKey {
    LockKey::parse("acme/infra/project-0042").expect("a valid key")
}

fn owner() -> OwnerId {
    OwnerId::parse("acme/infra#1234").expect("a valid owner")
}

/// A peer: one acquire and its release.
async fn lockable(turns: u32) {
    let (pool, key) = (LockPool::<String>::new(), key().to_string());
    for _ in 0..turns {
        drop(black_box(pool.async_lock(key.clone()).await));
    }
}

/// One acquire and its release, by the trait.
async fn pair(turns: u32) {
    let store: Box<dyn LockBackend> = Box::new(MemoryBackend::new());
    let (key, owner) = (key(), owner());
    for _ in 0..turns {
        let request = AcquireRequest::new(RequestId::random(), key.clone(), owner.clone());
        let reply = black_box(store.acquire(&request).await).expect("the store answers");
        let Acquisition::Granted(lease) = reply.value else { unreachable!("nobody else asks") };
        let name = LeaseName::new(lease.key, lease.request, lease.token);
        let reply = store.release(&ReleaseRequest::new(name)).await;
        assert_eq!(reply.expect("the store answers").value, Release::Released);
    }
}

/// One acquire and its release, by the manager.
async fn guard(turns: u32) {
    let manager = LockManager::new(MemoryBackend::new(), owner());
    let key = key();
    for _ in 0..turns {
        let guard = black_box(manager.acquire(key.clone()).await.expect("granted"));
        guard.release().await.expect("held until released");
    }
}

/// One acquire by the manager, whose guard is dropped, until the store is told.
async fn guard_dropped(turns: u32) {
    let manager = LockManager::new(MemoryBackend::new(), owner());
    let key = key();
    for _ in 0..turns {
        drop(black_box(manager.acquire(key.clone()).await.expect("granted")));
        yield_now().await;
    }
    manager.shutdown().await;
}

/// One release, the notice of the grant that it makes, and one acquire that joins the queue again.
async fn handoff(turns: u32, waiting: u32) {
    let store: Box<dyn LockBackend> = Box::new(MemoryBackend::new());
    let (key, owner, mailbox) = (key(), owner(), MailboxId::random());
    let hour = KeepAlive::parse(Duration::from_secs(60 * 60)).expect("a valid keep-alive");
    let mut notices = store.listen(mailbox).await.expect("the store listens");
    let mut held = None;
    for _ in 0..=waiting {
        let request = AcquireRequest::new(RequestId::random(), key.clone(), owner.clone())
            .queueing(hour)
            .with_mailbox(mailbox);
        let reply = store.acquire(&request).await.expect("the store answers");
        if let Acquisition::Granted(lease) = reply.value {
            held = Some(lease.name());
        }
    }
    let mut held = held.expect("the first is granted");
    for _ in 0..turns {
        let reply = store.release(&ReleaseRequest::new(held)).await;
        assert_eq!(reply.expect("the store answers").value, Release::Released);
        let notice = poll_fn(|cx| notices.as_mut().poll_next(cx)).await;
        let Some(Notice::Granted(grant)) = notice else { unreachable!("the next is granted") };
        held = LeaseName::new(grant.key, grant.request, grant.token);
        let request = AcquireRequest::new(RequestId::random(), key.clone(), owner.clone())
            .queueing(hour)
            .with_mailbox(mailbox);
        let reply = store.acquire(&request).await.expect("the store answers");
        assert!(matches!(reply.value, Acquisition::Queued(_)), "the queue is long");
    }
}
