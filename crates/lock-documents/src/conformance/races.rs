//! Of those who change at the same time, all but one learn that they came too late.

use tokio::task::JoinSet;

use super::{DocumentFixture, made};
use crate::Replacement;

/// Number of concurrent writers, and of changes by each.
const TASKS: u32 = 6;
const CHANGES: u32 = 15;

/// One of all who expect nothing makes the document, which is then as that one wrote it.
pub async fn one_of_many_makes_a_document(fixture: impl DocumentFixture) {
    for round in 0..10 {
        let mut attempts = JoinSet::new();
        for task in 0..TASKS {
            let store = fixture.connect().await;
            attempts.spawn(async move {
                let body = task.to_be_bytes();
                let done = store.replace(&format!("name-{round}"), None, Some(&body)).await;
                (done.unwrap() == Replacement::Done).then_some(body)
            });
        }
        let winners: Vec<_> = attempts.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "one of {TASKS} makes it");
        let read = fixture.connect().await.read(&format!("name-{round}")).await.unwrap();
        assert_eq!(read.expect("it was made").body, winners[0]);
    }
}

/// A number that many raise by one as often as they like is the sum of that.
pub async fn no_change_of_many_is_lost(fixture: impl DocumentFixture) {
    let store = fixture.connect().await;
    made(&*store, "number", &0_u32.to_be_bytes()).await;
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let store = fixture.connect().await;
        tasks.spawn(async move {
            let mut done = 0;
            while done < CHANGES {
                let read = store.read("number").await.unwrap().expect("it is there");
                let number = u32::from_be_bytes(read.body.try_into().expect("four bytes")) + 1;
                let body = number.to_be_bytes();
                let replaced = store.replace("number", Some(read.revision), Some(&body)).await;
                done += u32::from(replaced.unwrap() == Replacement::Done);
            }
        });
    }
    tasks.join_all().await;
    let read = store.read("number").await.unwrap().expect("it is there");
    assert_eq!(read.body, (TASKS * CHANGES).to_be_bytes());
}
