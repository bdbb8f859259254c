//! What changes queues, and what does not hide them.

use std::future::poll_fn;
use std::num::NonZeroU32;

use lock_core::{Change, ChangeKind, ChangeKinds, EventFilter, Watched};

use super::super::behind::put_lease;
use super::{QueueFixture, joins, lock, numbers, of, queues_up};
use crate::legacy::{LegacyKey, Project};
use crate::{AcquireOptions, LegacyBackend, LegacyError, convert_to_legacy};

/// There a cancel did nothing.
pub async fn cancelled_pull_is_in_no_queue(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    adapter.try_lock(of(1)).await.unwrap();
    let second = joins(&adapter, of(2), AcquireOptions::default()).await;
    queues_up(&adapter, of(3)).await;
    let project = of(2).project;
    assert!(fixture.process().cancel_wait(&project, "default", &of(2).pull).await.unwrap());
    assert!(matches!(second.await.unwrap().unwrap_err(), LegacyError::Cancelled));
    assert_eq!(numbers(&adapter.queues().await.unwrap())[0].1, [3]);
    assert!(adapter.queues_of_pull("owner/repo", 2).await.unwrap().queues.is_empty());
    assert_eq!(adapter.transfer_to_next(&project, "default").await.unwrap(), Some(of(3)));
}

/// There a transfer was declared and not supported, or kept the user of the lock that ended.
pub async fn next_pull_gets_the_lock_with_its_own_user(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    let by = |num, user: &str| {
        let mut lock = of(num);
        user.clone_into(&mut lock.user.username);
        user.clone_into(&mut lock.pull.author);
        lock
    };
    adapter.try_lock(by(1, "alice")).await.unwrap();
    let second = joins(&adapter, by(2, "bob"), AcquireOptions::default()).await;
    queues_up(&adapter, by(3, "carol")).await;
    let project = of(1).project;
    let handed = fixture.process().transfer_to_next(&project, "default").await.unwrap();
    assert_eq!(handed, Some(by(2, "bob")));
    assert_eq!(second.await.unwrap().unwrap(), by(2, "bob"));
    assert_eq!(adapter.get_lock(&project, "default").await.unwrap(), Some(by(2, "bob")));
    let found = adapter.queues().await.unwrap();
    assert_eq!(numbers(&found)[0].1, [3]);
    assert_eq!(found.queues[0].holder.as_ref().unwrap().pull.as_ref().unwrap().num, 2);
}

/// Both authors, for whoever watches the store.
pub async fn event_of_a_transfer_names_both_authors(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    let by = |num, author: &str| {
        let mut lock = of(num);
        author.clone_into(&mut lock.pull.author);
        lock
    };
    adapter.try_lock(by(1, "alice")).await.unwrap();
    queues_up(&adapter, by(2, "bob")).await;
    let filter = EventFilter::all().with_kinds(ChangeKinds::NONE.with(ChangeKind::Transferred));
    let mut events = adapter.manager().watch(&filter, None).await.unwrap();
    adapter.transfer_to_next(&of(1).project, "default").await.unwrap();
    let event = poll_fn(|context| events.as_mut().poll_next(context)).await;
    let Some(Watched::Event(event)) = event else { panic!("{event:?}") };
    let Change::Transferred { from, to } = event.change else { panic!("{event:?}") };
    assert_eq!([from, to].map(|it| convert_to_legacy(&it).pull.author), ["alice", "bob"]);
}

/// In Atlantis one record hid all others.
pub async fn lock_that_cannot_be_read_hides_no_queue(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    put_lease(&adapter, &of(1), b"{").await;
    queues_up(&adapter, of(2)).await;
    adapter.try_lock(lock("owner/repo", "other", "default", 1)).await.unwrap();
    let odd = adapter.manager().acquire("project:odd").await.unwrap();
    let found = adapter.queues().await.unwrap();
    assert_eq!(found.queues.len(), 2);
    assert_eq!(numbers(&found)[1], ("owner/repo/path/default/".to_owned(), vec![2]));
    assert_eq!(found.queues[1].holder.as_ref().unwrap().lock, None);
    let damaged: Vec<_> = found.damaged.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(damaged, ["project:odd", "project:owner/repo:path:default::github.com"]);
    odd.release().await.unwrap();
}

/// In Atlantis a key that went between the listing and its reading failed the whole listing.
pub async fn queues_are_read_while_projects_come_and_go(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    let stays = lock("owner/repo", "stays", "default", 1);
    adapter.try_lock(stays.clone()).await.unwrap();
    queues_up(&adapter, lock("owner/repo", "stays", "default", 2)).await;
    let busy = fixture.process();
    let churn = tokio::spawn(async move {
        for round in 0.. {
            let lock = lock("owner/repo", &format!("path-{}", round % 7), "default", 1);
            busy.try_lock(lock.clone()).await.unwrap();
            busy.unlock_if_owned_by_pull(&lock.project, "default", 1).await.unwrap();
        }
    });
    for _ in 0..100 {
        let found = adapter.queues().await.unwrap();
        assert!(found.damaged.is_empty(), "{found:?}");
        let numbers = numbers(&found);
        assert_eq!(numbers.last().unwrap(), &("owner/repo/stays/default/".to_owned(), vec![2]));
    }
    assert!(!churn.is_finished(), "it failed");
    churn.abort();
}

/// The field and its limit are in the words.
pub async fn name_without_a_key_is_refused_with_its_limit(fixture: impl QueueFixture) {
    let adapter = fixture.process();
    let project = Project::new("owner/repo", &"x".repeat(2000), "");
    let error = adapter.queues_of_project(&project, "default").await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("key has ") && text.contains("at most 1024"), "{text}");
    assert!(matches!(error, LegacyError::Invalid(_)) && !error.is_unknown(), "{error:?}");
    let error = adapter.queues_of_pull(&"x".repeat(2000), 1).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("owner has ") && text.contains("at most "), "{text}");
    assert!(matches!(error, LegacyError::Invalid(_)), "{error:?}");
    // No lock has such a key, so a repository of this name has none.
    let found = adapter.queues_of_repo(&"x".repeat(2000)).await.unwrap();
    assert!(found.queues.is_empty() && found.damaged.is_empty());
    let limit = AcquireOptions::default().with_queue_limit(NonZeroU32::MIN);
    adapter.try_lock(of(1)).await.unwrap();
    queues_up(&adapter, of(2)).await;
    let error = adapter.acquire(of(3), &limit).await.unwrap_err();
    assert!(matches!(error, LegacyError::NotAcquired(_)), "{error:?}");
    assert_eq!(
        LegacyKey::of(&of(1)).to_string(),
        adapter.queues().await.unwrap().queues[0].name.to_string()
    );
}
