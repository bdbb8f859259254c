//! Names are texts in which no character is special.

use std::collections::BTreeSet;

use super::{DocumentFixture, made, put};

/// Characters that mean something in the patterns and keys of one store or another.
const SPECIAL: [&str; 20] = [
    "", "%", "_", "*", "?", "[a]", "\\", "^", "-", "'", "\"", ":", "::", "%3A", "%25", "{a}",
    "a b", "\n", "ä", "𝄞",
];

/// All names of which some are like others.
fn all() -> BTreeSet<String> {
    let around = |text: &str| [format!("x{text}y"), format!("x{text}"), format!("{text}y")];
    let mut names: BTreeSet<String> = SPECIAL.iter().copied().flat_map(around).collect();
    names.extend(SPECIAL.map(str::to_owned));
    names.extend(["X", "Xy", "xay", "xaay", "Äy", "a\u{308}y", "x\u{10ffff}"].map(str::to_owned));
    names
}

/// No name is taken for another.
pub async fn every_name_is_a_document_of_its_own(fixture: impl DocumentFixture) {
    let (store, other) = (fixture.connect().await, fixture.connect().await);
    for name in all() {
        made(&*store, &name, name.as_bytes()).await;
    }
    for name in all() {
        let read = other.read(&name).await.unwrap().expect("it was made");
        assert_eq!(read.body, name.as_bytes(), "{name:?}");
    }
}

/// A listing has all names that begin with the text, each once, and no others.
pub async fn listed_names_begin_with_the_text(fixture: impl DocumentFixture) {
    let (store, other) = (fixture.connect().await, fixture.connect().await);
    for name in all() {
        made(&*store, &name, b"body").await;
    }
    for prefix in all() {
        let mut listed = other.names(&prefix).await.unwrap();
        listed.sort_unstable();
        let expected: Vec<String> =
            all().into_iter().filter(|name| name.starts_with(&prefix)).collect();
        assert_eq!(listed, expected, "names that begin with {prefix:?}");
    }
}

/// Removed names are not listed.
pub async fn removed_name_is_not_listed(fixture: impl DocumentFixture) {
    let (store, other) = (fixture.connect().await, fixture.connect().await);
    let document = made(&*store, "a", b"body").await;
    made(&*store, "ab", b"body").await;
    put(&*other, "a", Some(document.revision), None).await;
    assert_eq!(store.names("a").await.unwrap(), ["ab"]);
}
