//! A change names what it replaces, and is seen by every other connection.

use super::{DocumentFixture, made, put};
use crate::{Replacement, Revision};

/// Nothing is read where nothing was written.
pub async fn missing_document_is_none(fixture: impl DocumentFixture) {
    let store = fixture.connect().await;
    assert_eq!(store.read("name").await.unwrap(), None);
    assert_eq!(store.names("").await.unwrap(), [] as [&str; 0]);
}

/// Bodies are bytes, of any value and length.
pub async fn document_is_read_as_it_was_written(fixture: impl DocumentFixture) {
    let (store, other) = (fixture.connect().await, fixture.connect().await);
    let every: Vec<u8> = (0..=u8::MAX).collect();
    let large: Vec<u8> = every.iter().copied().cycle().take(1 << 20).collect();
    let mut expected = None;
    for body in [&[][..], b"text", &every, &large] {
        put(&*store, "name", expected, Some(body)).await;
        let read = other.read("name").await.unwrap().expect("another connection sees it");
        assert!(read.body == body, "{} bytes are read as {read:?}", body.len());
        expected = Some(read.revision);
    }
}

/// A change that expects no document replaces none.
pub async fn document_is_made_once(fixture: impl DocumentFixture) {
    let (store, other) = (fixture.connect().await, fixture.connect().await);
    let document = made(&*store, "name", b"one").await;
    for body in [Some(&b"two"[..]), None] {
        assert_eq!(other.replace("name", None, body).await.unwrap(), Replacement::Changed);
        assert_eq!(store.read("name").await.unwrap().as_ref(), Some(&document));
    }
}

/// A change based on an outdated read changes nothing.
pub async fn old_revision_changes_nothing(fixture: impl DocumentFixture) {
    let (store, other) = (fixture.connect().await, fixture.connect().await);
    let first = made(&*store, "name", b"one").await;
    put(&*other, "name", Some(first.revision), Some(b"two")).await;
    let second = store.read("name").await.unwrap().expect("it is there");
    let late = store.replace("name", Some(first.revision), Some(b"three")).await.unwrap();
    assert_eq!(late, Replacement::Changed);
    assert_eq!(other.read("name").await.unwrap(), Some(second));
}

/// A removal based on an outdated read removes nothing, nor does one with a revision that never
/// was.
pub async fn old_revision_removes_nothing(fixture: impl DocumentFixture) {
    let (store, other) = (fixture.connect().await, fixture.connect().await);
    let first = made(&*store, "name", b"one").await;
    put(&*other, "name", Some(first.revision), Some(b"one")).await;
    let second = store.read("name").await.unwrap().expect("it is there");
    for expected in [first.revision, Revision::new(0), Revision::new(u64::MAX)] {
        let late = store.replace("name", Some(expected), None).await.unwrap();
        assert_eq!(late, Replacement::Changed, "{expected:?}");
        assert_eq!(other.read("name").await.unwrap().as_ref(), Some(&second));
    }
}

/// A removal is visible to all, and affects nothing else.
pub async fn removed_document_is_gone(fixture: impl DocumentFixture) {
    let (store, other) = (fixture.connect().await, fixture.connect().await);
    let document = made(&*store, "name", b"body").await;
    let beside = made(&*store, "beside", b"body").await;
    put(&*other, "name", Some(document.revision), None).await;
    assert_eq!(store.read("name").await.unwrap(), None);
    assert_eq!(store.read("beside").await.unwrap(), Some(beside));
    for body in [Some(&b"again"[..]), None] {
        let late = store.replace("name", Some(document.revision), body).await.unwrap();
        assert_eq!(late, Replacement::Changed);
        assert_eq!(other.read("name").await.unwrap(), None);
    }
}

/// Removing what is not there, expecting that, is as asked for.
pub async fn nothing_in_the_place_of_nothing_is_done(fixture: impl DocumentFixture) {
    let store = fixture.connect().await;
    put(&*store, "name", None, None).await;
    assert_eq!(store.read("name").await.unwrap(), None);
}

/// No revision is that of another document, of any name and any time.
pub async fn revision_never_comes_again(fixture: impl DocumentFixture) {
    let (store, other) = (fixture.connect().await, fixture.connect().await);
    let mut known = Vec::new();
    for round in 0..10 {
        for name in ["a", "b"] {
            let store = if round % 2 == 0 { &*store } else { &*other };
            let first = made(store, name, b"same").await.revision;
            put(store, name, Some(first), Some(b"same")).await;
            let second = store.read(name).await.unwrap().expect("it is there").revision;
            put(store, name, Some(second), None).await;
            known.extend([first, second]);
        }
    }
    let count = known.len();
    known.sort_unstable();
    known.dedup();
    assert_eq!(known.len(), count, "a revision came twice");
}
