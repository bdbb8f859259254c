//! The thread that has the store: it takes the commands that came while one update ran into the next.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use lock_core::{ChangeKinds, LockKey, MailboxId, Notice, Timestamp};

use crate::cell;
use crate::command::Work;
use crate::journal::{self, Recording};
use crate::notify::Mailboxes;
use crate::turn::{Terms, Turn};
use crate::watch::Watching;
use crate::{Draft, HostConfig, Listening, Properties, StateStore, StoreError};

/// Maximum number of commands in one update.
const BATCH: usize = 256;
/// Polling interval for events of other processes while a watcher exists, as hints may be lost.
const TICK: Duration = Duration::from_secs(1);

/// Job of the worker thread.
pub(crate) enum Job<S> {
    /// Commands, to be answered each.
    Run(Vec<Box<dyn Work>>),
    /// Anything else that needs the store, after the commands before it.
    Do(Box<Do<S>>),
}

type Do<S> = dyn FnOnce(&mut Worker<S>) + Send;

impl<S> fmt::Debug for Job<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run(_) => "Run",
            Self::Do(_) => "Do",
        })
    }
}

/// State of the worker thread.
pub(crate) struct Worker<S> {
    pub(crate) store: Arc<S>,
    pub(crate) properties: Properties,
    pub(crate) terms: Terms,
    pub(crate) mailboxes: Arc<Mailboxes>,
    pub(crate) watching: Arc<Watching>,
    /// Known watchers.
    pub(crate) recording: Recording,
    /// Handle of the watchers' mailbox.
    pub(crate) listening: Option<Listening>,
    /// When the last update took effect.
    pub(crate) now: Timestamp,
    /// The time of the next sweep of unused cells.
    pub(crate) sweep_at: Timestamp,
}

impl<S: StateStore> Worker<S> {
    pub(crate) fn new(
        store: Arc<S>,
        config: &HostConfig,
        mailboxes: Arc<Mailboxes>,
        watching: Arc<Watching>,
    ) -> Self {
        let properties = store.properties();
        let terms = Terms::from((&properties, config.idle_span));
        let (recording, never) = (Recording::default(), Timestamp::default());
        let (listening, now, sweep_at) = (None, never, never);
        Self { store, properties, terms, mailboxes, watching, recording, listening, now, sweep_at }
    }

    /// Works until no handle is left.
    pub(crate) fn work(mut self, jobs: &Receiver<Job<S>>) {
        let mut works = Vec::new();
        loop {
            let mut next = match self.next(jobs) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    self.watching.hint();
                    let _ = self.enlist();
                    continue;
                }
            };
            while let Some(job) = next.take() {
                match job {
                    Job::Run(more) => works.extend(more),
                    Job::Do(job) => {
                        self.run(&mut works);
                        job(&mut self);
                    }
                }
                if works.len() < BATCH {
                    next = jobs.try_recv().ok();
                }
            }
            self.run(&mut works);
        }
    }

    fn next(&self, jobs: &Receiver<Job<S>>) -> Result<Job<S>, RecvTimeoutError> {
        match self.watching.is_watched() {
            true => jobs.recv_timeout(TICK),
            false => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Runs commands, all in one update where the store can, and answers them.
    pub(crate) fn run(&mut self, works: &mut Vec<Box<dyn Work>>) {
        if works.is_empty() {
            return;
        }
        let mut turns = by_key(works);
        let ends = self.run_turns(&mut turns);
        turns.into_iter().zip(ends).for_each(|(turn, end)| turn.answer(&end));
        let own = self.watching.mailbox();
        if self.watching.is_watched() && !self.recording.is_enlisted(own, self.now) {
            // Where it fails, the next command tries again.
            let _ = self.enlist();
        }
        self.sweep();
    }

    /// Runs each turn, and says when it took effect.
    pub(crate) fn run_turns(&mut self, turns: &mut [Turn]) -> Vec<Result<Timestamp, StoreError>> {
        let at_once = if self.properties.transactions { turns.len().max(1) } else { 1 };
        let mut ends = Vec::with_capacity(turns.len());
        for turns in turns.chunks_mut(at_once) {
            let updated = self.update(turns);
            self.tell(turns, &updated);
            ends.extend(turns.iter().map(|_| updated.clone()));
        }
        ends
    }

    fn update(&mut self, turns: &mut [Turn]) -> Result<Timestamp, StoreError> {
        let Self { store, properties, terms, recording, now, .. } = self;
        let names: Vec<LockKey> = turns.iter().map(|turn| turn.key.clone()).collect();
        let names: Vec<&str> = names.iter().map(LockKey::as_str).collect();
        store.update(&names, &mut |draft: &mut Draft<'_>| {
            *now = draft.now();
            let wanted = match properties.events {
                true => recording.wanted(draft)?,
                false => ChangeKinds::NONE,
            };
            for turn in &mut *turns {
                turn.run(draft, terms, wanted)?;
                journal::publish(draft, &turn.changes);
            }
            Ok(())
        })?;
        Ok(*now)
    }

    /// The store's time.
    pub(crate) fn read_clock(&mut self) -> Result<Timestamp, StoreError> {
        let now = &mut self.now;
        self.store.update(&[], &mut |draft: &mut Draft<'_>| {
            *now = draft.now();
            Ok(())
        })?;
        Ok(self.now)
    }

    /// Tells mailboxes and watchers what came of an update.
    fn tell(&self, turns: &mut [Turn], updated: &Result<Timestamp, StoreError>) {
        let has_changes = turns.iter().any(|turn| !turn.changes.is_empty());
        let notices = turns.iter_mut().flat_map(|turn| turn.notices.drain(..));
        match updated {
            Ok(_) => notices.for_each(|(mailbox, notice)| self.tell_one(mailbox, notice)),
            Err(error) if error.is_unknown() => {
                // The update may have happened, and nothing else would send its notices.
                notices.for_each(|(mailbox, _)| self.tell_one(mailbox, Notice::MayHaveMissed));
            }
            Err(_) => return,
        }
        if has_changes {
            self.watching.hint();
            for watcher in self.recording.others(self.watching.mailbox()) {
                self.tell_one(watcher, Notice::MayHaveMissed);
            }
        }
    }

    fn tell_one(&self, mailbox: MailboxId, notice: Notice) {
        if let Some(notice) = self.mailboxes.tell(mailbox, notice)
            && self.properties.pushes
        {
            self.store.notify(mailbox, &cell::write(&notice));
        }
    }
}

/// The commands by their keys, those of a key in their order.
fn by_key(works: &mut Vec<Box<dyn Work>>) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    let mut known = HashMap::new();
    for work in works.drain(..) {
        let turn = match known.entry(work.key().clone()) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                turns.push(Turn::new(work.key().clone()));
                *entry.insert(turns.len() - 1)
            }
        };
        turns[turn].works.push(work);
    }
    turns
}
