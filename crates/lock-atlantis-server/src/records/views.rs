//! What each client was shown, so that it changes only what it saw.

use std::collections::HashMap;
use std::mem;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lock_compat::documents::Revision;
use lock_core::FencingToken;
use tokio::time::Instant;

/// How long a view counts at least. Atlantis changes what it read within milliseconds.
const LIFE: Duration = Duration::from_secs(300);
/// Maximum number of views that are kept twice: the present ones and those before.
const MOST: usize = 100_000;

/// A client as far as the protocol tells: its connections are pooled, so one of them reads and
/// another one writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientId {
    /// The name of its token.
    pub(crate) token: Arc<str>,
    pub(crate) address: IpAddr,
}

/// A record at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Version {
    Lease(FencingToken),
    Document(Revision),
}

type Key = (ClientId, String, Version);

/// What each client was shown, and how often.
#[derive(Debug)]
pub(super) struct Views {
    most: usize,
    generations: Mutex<Generations>,
}

#[derive(Debug)]
struct Generations {
    since: Instant,
    present: HashMap<Key, u32>,
    before: HashMap<Key, u32>,
}

impl Views {
    pub(super) fn new() -> Self {
        Self::of(MOST)
    }

    fn of(most: usize) -> Self {
        let (present, before) = (HashMap::new(), HashMap::new());
        let generations = Generations { since: Instant::now(), present, before };
        Self { most, generations: Mutex::new(generations) }
    }

    /// The client is shown this version.
    pub(super) fn show(&self, client: &ClientId, name: &str, version: Version) {
        let mut views = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if views.since.elapsed() >= LIFE || views.present.len() >= self.most {
            views.before = mem::take(&mut views.present);
            views.since = Instant::now();
        }
        let count = views.present.entry((client.clone(), name.to_owned(), version)).or_default();
        *count = count.saturating_add(1);
    }

    /// Takes one view of this version away; `false` if the client has none.
    pub(super) fn take(&self, client: &ClientId, name: &str, version: Version) -> bool {
        let key = (client.clone(), name.to_owned(), version);
        let mut views = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let Generations { present, before, .. } = &mut *views;
        [present, before].into_iter().any(|views| match views.get_mut(&key) {
            Some(1) => views.remove(&key).is_some(),
            Some(count) => {
                *count -= 1;
                true
            }
            None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> ClientId {
        ClientId { token: "ci".into(), address: [127, 0, 0, number].into() }
    }

    const ONE: Version = Version::Document(Revision::new(1));
    const TWO: Version = Version::Document(Revision::new(2));

    #[tokio::test(start_paused = true)]
    async fn view_is_of_one_client_name_and_version_and_counts_once() {
        let views = Views::new();
        views.show(&client(1), "a", ONE);
        views.show(&client(1), "a", ONE);
        assert!(!views.take(&client(2), "a", ONE));
        assert!(!views.take(&client(1), "b", ONE));
        assert!(!views.take(&client(1), "a", TWO));
        assert!(views.take(&client(1), "a", ONE) && views.take(&client(1), "a", ONE));
        assert!(!views.take(&client(1), "a", ONE));
    }

    #[tokio::test(start_paused = true)]
    async fn view_lasts_for_its_life_and_not_for_ever() {
        let views = Views::new();
        views.show(&client(1), "a", ONE);
        tokio::time::advance(LIFE).await;
        views.show(&client(1), "b", ONE);
        assert!(views.take(&client(1), "a", ONE));
        views.show(&client(1), "a", ONE);
        for _ in 0..2 {
            tokio::time::advance(LIFE).await;
            views.show(&client(1), "b", TWO);
        }
        assert!(!views.take(&client(1), "a", ONE));
    }

    #[tokio::test(start_paused = true)]
    async fn views_are_bounded_in_number() {
        let views = Views::of(10);
        for number in 0..100 {
            views.show(&client(1), &number.to_string(), ONE);
        }
        let generations = views.generations.lock().unwrap();
        assert_eq!((generations.present.len(), generations.before.len()), (10, 10));
        drop(generations);
        assert!(views.take(&client(1), "99", ONE) && views.take(&client(1), "80", ONE));
        assert!(!views.take(&client(1), "79", ONE));
    }
}
