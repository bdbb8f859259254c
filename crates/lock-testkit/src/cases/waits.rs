//! Waiting: a wait ends upon the grant or when its time is up, and whoever misses it loses nothing.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lock_core::{Release, WaitRequest, Wake};
use tokio::time::Instant;

use crate::World;

/// A time that a wait which is woken comes nowhere near.
const LONG: Duration = Duration::from_secs(20);

/// A store that pushes grants ends a wait upon the grant, and hands over the lease.
pub async fn wait_returns_upon_the_grant(world: World) {
    if !world.expected().pushes_grants {
        return;
    }
    let (holder, waiter) = world.holder_and_waiter().await;
    let sleeper = tokio::spawn(World::news(world.connect().await, waiter, LONG));
    world.elapse(Duration::from_millis(100)).await;
    let released_at = Instant::now();
    assert_eq!(world.release(&holder).await, Release::Released);
    let woken = sleeper.await.expect("the task ends");
    assert!(released_at.elapsed() < LONG / 2);
    assert_eq!(woken, Some(world.only_lease("key").await));
}

/// A wait whose request stays in the queue ends when its time is up, at the latest.
pub async fn wait_returns_when_its_time_is_up(world: World) {
    let (_, waiter) = world.holder_and_waiter().await;
    let started_at = Instant::now();
    assert_eq!(world.wait(&waiter, Duration::from_millis(300)).await, Wake::AskAgain);
    assert!(started_at.elapsed() < LONG / 2);
    assert_eq!(world.waiting("key").await, vec![waiter.request]);
}

/// A wait for a request that holds ends at once, and hands over the lease.
pub async fn wait_for_a_granted_request_returns_at_once(world: World) {
    let (holder, waiter) = world.holder_and_waiter().await;
    let started_at = Instant::now();
    assert_eq!(world.wait(&holder, LONG).await, Wake::Granted(world.only_lease("key").await));
    assert_eq!(world.release(&holder).await, Release::Released);
    assert_eq!(world.wait(&waiter, LONG).await, Wake::Granted(world.only_lease("key").await));
    assert!(started_at.elapsed() < LONG / 2);
}

/// A wait for a request that neither holds nor waits ends at once.
pub async fn wait_for_an_unknown_request_returns_at_once(world: World) {
    let started_at = Instant::now();
    assert_eq!(world.wait(&World::ask("key", "bob"), LONG).await, Wake::AskAgain);
    let (_, waiter) = world.holder_and_waiter().await;
    assert_eq!(world.wait(&World::ask("key", "bob"), LONG).await, Wake::AskAgain);
    assert_eq!(world.waiting("key").await, vec![waiter.request]);
    assert!(started_at.elapsed() < LONG / 2);
}

/// A waiter that was not listening when it was granted finds its lease when it asks again.
pub async fn missed_wake_finds_the_lease(world: World) {
    let (holder, waiter) = world.holder_and_waiter().await;
    assert_eq!(world.wait(&waiter, Duration::from_millis(50)).await, Wake::AskAgain);
    assert_eq!(world.release(&holder).await, Release::Released);
    let granted = world.only_lease("key").await;
    let lease = world.granted(&waiter).await;
    assert_eq!(lease, granted.with_expires_at(lease.expires_at));
}

/// A wait that was dropped leaves the request in the queue, and another one is woken as it would
/// have been.
pub async fn cancelled_wait_can_be_repeated(world: World) {
    let (holder, waiter) = world.holder_and_waiter().await;
    let awaited = WaitRequest::new(waiter.key.clone(), waiter.request, LONG);
    let mut dropped = world.store().wait(&awaited);
    let polled = dropped.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending | Poll::Ready(Ok(Wake::AskAgain))));
    drop(dropped);
    assert_eq!(world.waiting("key").await, vec![waiter.request]);

    let patience = Duration::from_secs(2);
    let again = World::news(Arc::clone(world.store()), waiter.clone(), patience);
    let repeated = tokio::spawn(again);
    world.elapse(Duration::from_millis(100)).await;
    assert_eq!(world.release(&holder).await, Release::Released);
    let woken = repeated.await.expect("the task ends");
    if world.expected().pushes_grants {
        assert_eq!(woken, Some(world.only_lease("key").await));
    }
    assert_eq!(world.granted(&waiter).await.request, waiter.request);
}
