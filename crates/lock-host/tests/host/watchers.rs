//! Watchers: those of other hosts, those that ended, and events that are missing.

use std::future::poll_fn;
use std::time::Duration;

use lock_core::{Change, EventFilter, EventStream, LockInspector, Watched};
use lock_host::HostConfig;

use crate::common::Manners;
use crate::{DAY, map, turn};

async fn next(events: &mut EventStream) -> Watched {
    let next = poll_fn(|cx| events.as_mut().poll_next(cx));
    tokio::time::timeout(Duration::from_secs(10), next).await.unwrap().unwrap()
}

/// A watcher sees what another host does, also when the hint was lost.
#[tokio::test]
async fn watchers_see_what_others_do() {
    let manners = Manners { lose_every: 1, ..Manners::rough() };
    let (_clock, map) = map(manners);
    let (one, other) = (map.host(&HostConfig::new()), map.host(&HostConfig::new()));
    let mut events = one.watch(&EventFilter::all(), None).await.unwrap();
    let lease = turn(&other, "key").await;
    let Watched::Event(event) = next(&mut events).await else { panic!("nothing is missing") };
    assert_eq!(event.change, Change::Granted(lease.clone()));
    let Watched::Event(event) = next(&mut events).await else { panic!("nothing is missing") };
    assert_eq!(event.change, Change::Released(lease));
}

/// Nobody pays for watchers that ended, though what they watched is recorded for a day.
#[tokio::test]
async fn watchers_that_ended_are_forgotten() {
    let (clock, map) = map(Manners::rough());
    let mut sizes = Vec::new();
    for _ in 0..20 {
        clock.advance(Duration::from_secs(300));
        let store = map.host(&HostConfig::new());
        let _ = store.watch(&EventFilter::all(), None).await.unwrap();
        sizes.push(map.state("\u{1}watchers").len());
    }
    assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
    clock.advance(Duration::from_secs(300));
    let sent = map.sent();
    turn(&map.host(&HostConfig::new()), "key").await;
    assert_eq!(map.sent(), sent, "the last one is told nothing any more");
}

/// A process that is never idle also enlists again, and reads what no notice told it of.
#[tokio::test]
async fn a_busy_watcher_sees_what_others_do() {
    let (clock, map) = map(Manners::rough());
    let (one, other) = (map.host(&HostConfig::new()), map.host(&HostConfig::new()));
    let mut events = one.watch(&EventFilter::all(), None).await.unwrap();
    let look = async || {
        let _ = one.health().await.unwrap();
    };
    // Whatever it was told before, it has read after some looks.
    let read = async {
        for _ in 0..10 {
            look().await;
        }
    };
    tokio::select! { biased; watched = next(&mut events) => panic!("{watched:?}"), () = read => {} };
    // The other takes it for one that ended.
    clock.advance(Duration::from_secs(180));
    turn(&other, "key").await;
    let busy = async {
        loop {
            look().await;
        }
    };
    let watched =
        tokio::select! { watched = next(&mut events) => watched, () = busy => unreachable!() };
    assert!(matches!(watched, Watched::Event(_)), "{watched:?}");
}

/// A store may keep no event at all.
#[tokio::test]
async fn events_that_the_store_dropped_are_missed_once() {
    let (_clock, map) = map(Manners::rough());
    let store = map.host(&HostConfig::new());
    let mut events = store.watch(&EventFilter::all(), None).await.unwrap();
    turn(&store, "key").await;
    map.drop_events();
    let watched = next(&mut events).await;
    assert!(matches!(watched, Watched::Missed(2)), "{watched:?}");
    turn(&store, "key").await;
    let watched = next(&mut events).await;
    assert!(matches!(watched, Watched::Event(_)), "{watched:?}");
}

/// Events without a watcher are not delivered, and reported as missed.
#[tokio::test]
async fn gap_in_the_journal_is_reported() {
    let (clock, map) = map(Manners::rough());
    let store = map.host(&HostConfig::new());
    let mut events = store.watch(&EventFilter::all(), None).await.unwrap();
    turn(&store, "key").await;
    let Watched::Event(event) = next(&mut events).await else { panic!("nothing is missing") };
    drop(events);
    clock.advance(2 * DAY);
    turn(&store, "key").await;
    let mut events = store.watch(&EventFilter::all(), Some(&event.cursor)).await.unwrap();
    let watched = next(&mut events).await;
    assert!(matches!(watched, Watched::Event(_)), "the release is known: {watched:?}");
    let watched = next(&mut events).await;
    assert!(matches!(watched, Watched::Missed(_)), "{watched:?}");
}
