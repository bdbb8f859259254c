//! Who in this process waits for a grant, and how the server's messages reach it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{KeepAlive, Lease, LockKey, RequestId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::reply::{self, Grant};
use crate::terms::Terms;

/// How many requests may be remembered before the forgotten are first looked for.
const FIRST_SWEEP: usize = 1024;

/// The requests of this process that wait, or may.
///
/// A request is entered before the server is asked, because the news of its grant may come before
/// the answer. It leaves when it holds, when it ends, and when it was silent for so long that the
/// server has dropped it, too.
#[derive(Debug, Default)]
pub(crate) struct Sleepers(Mutex<Table>);

type Name = (RequestId, LockKey);

#[derive(Debug)]
struct Table {
    waiting: HashMap<Name, Waiting>,
    sweep_at: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { waiting: HashMap::new(), sweep_at: FIRST_SWEEP }
    }
}

#[derive(Debug)]
struct Waiting {
    /// What the server would write into the lease; nothing when somebody else asked first.
    terms: Option<Terms>,
    silent_at: Instant,
    news: Option<News>,
    sleepers: Vec<oneshot::Sender<Option<Lease>>>,
}

/// A grant that nobody slept for when it came.
#[derive(Debug)]
struct News {
    lease: Lease,
    stale_at: Instant,
}

/// What somebody who wants to sleep finds.
#[derive(Debug)]
pub(crate) enum Entered {
    /// The request was just granted.
    Granted(Lease),
    /// Nothing yet; the news, or nothing when the server should be asked again.
    Asleep(oneshot::Receiver<Option<Lease>>),
    /// This process does not know the request.
    Unknown,
}

impl Sleepers {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a request that is about to ask for a place in the queue.
    pub(crate) fn expect(&self, name: Name, keep_alive: KeepAlive) {
        let silent_at = Instant::now() + keep_alive.span();
        let mut table = self.lock();
        table
            .waiting
            .entry(name)
            .and_modify(|waiting| waiting.silent_at = silent_at)
            .or_insert_with(|| Waiting::new(silent_at));
        table.sweep_if_grown();
    }

    /// Notes on which terms a request waits.
    pub(crate) fn joined(&self, name: &Name, terms: Terms) {
        if let Some(waiting) = self.lock().waiting.get_mut(name) {
            waiting.terms = Some(terms);
        }
    }

    /// Forgets a request that does not wait any more; who still sleeps asks the server.
    pub(crate) fn forget(&self, name: &Name) {
        let gone = self.lock().waiting.remove(name);
        if let Some(gone) = gone {
            gone.wake(None);
        }
    }

    /// Lets somebody sleep until the request is granted.
    pub(crate) fn enter(&self, name: &Name) -> Entered {
        let mut table = self.lock();
        let Some(waiting) = table.waiting.get_mut(name) else { return Entered::Unknown };
        match waiting.news.take() {
            Some(news) if Instant::now() < news.stale_at => {
                table.waiting.remove(name);
                return Entered::Granted(news.lease);
            }
            Some(_) => {
                table.waiting.remove(name);
                return Entered::Unknown;
            }
            None => {}
        }
        let (sender, receiver) = oneshot::channel();
        waiting.sleepers.retain(|sleeper| !sleeper.is_closed());
        waiting.sleepers.push(sender);
        Entered::Asleep(receiver)
    }

    /// Tells those whom a message of the server is about: a request, its grant, its key.
    pub(crate) fn tell(&self, message: &[u8]) -> Option<()> {
        let request = reply::request(message.get(..16)?)?;
        let grant = Grant::parse(message.get(16..40)?)?;
        let key = LockKey::parse(str::from_utf8(message.get(40..)?).ok()?).ok()?;
        let name = (request, key);
        let mut table = self.lock();
        let waiting = table.waiting.get_mut(&name)?;
        let lease = waiting.terms.clone().map(|terms| grant.lease(terms, &name.1, request));
        waiting.sleepers.retain(|sleeper| !sleeper.is_closed());
        if !waiting.sleepers.is_empty() {
            let waiting = table.waiting.remove(&name)?;
            drop(table);
            waiting.wake(lease.as_ref());
            return Some(());
        }
        // Whoever asks within half of the claim window can still say in time that it took the lease.
        let window = grant.expires_at.map_or(Duration::MAX, |end| end.since(grant.granted_at));
        waiting.news = lease.map(|lease| News { lease, stale_at: Instant::now() + window / 2 });
        Some(())
    }

    /// Lets everybody ask the server again: messages may have been lost.
    pub(crate) fn wake_all(&self) {
        let mut sleepers = Vec::new();
        for waiting in self.lock().waiting.values_mut() {
            sleepers.append(&mut waiting.sleepers);
        }
        for sleeper in sleepers {
            drop(sleeper.send(None));
        }
    }
}

impl Waiting {
    const fn new(silent_at: Instant) -> Self {
        Self { terms: None, silent_at, news: None, sleepers: Vec::new() }
    }

    fn wake(self, lease: Option<&Lease>) {
        for sleeper in self.sleepers {
            drop(sleeper.send(lease.cloned()));
        }
    }
}

impl Table {
    /// Forgets the silent when there are twice as many requests as after the last look.
    fn sweep_if_grown(&mut self) {
        if self.waiting.len() < self.sweep_at {
            return;
        }
        let now = Instant::now();
        self.waiting.retain(|_, waiting| {
            waiting.silent_at > now || waiting.sleepers.iter().any(|it| !it.is_closed())
        });
        self.sweep_at = FIRST_SWEEP.max(self.waiting.len() * 2);
    }
}
