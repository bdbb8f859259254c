//! The work on the store: commands that came while one update ran go into the next together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::{fmt, slice};

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
/// Maximum number of bytes of a cell that a command of one task is run on in that task.
const SHORT: usize = 4 * 1024;

/// Job of the thread.
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

/// State of the work on the store, which one thread at a time has.
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

    /// Does this job and those behind it, as far as they fit into one update, and answers how many
    /// they were.
    pub(crate) fn work(&mut self, job: Job<S>, jobs: &Receiver<Job<S>>) -> usize {
        let (mut works, mut next, mut count) = (Vec::new(), Some(job), 0);
        while let Some(job) = next.take() {
            count += 1;
            match job {
                Job::Run(more) => works.extend(more),
                Job::Do(job) => {
                    self.run(&mut works);
                    job(self);
                }
            }
            if works.len() < BATCH {
                next = jobs.try_recv().ok();
            }
        }
        self.run(&mut works);
        count
    }

    /// Lets watchers read again, as a hint may have been lost.
    pub(crate) fn tick(&mut self) {
        self.watching.hint();
        let _ = self.enlist();
    }

    /// Runs a command where the store need not wait for that and nothing else is to be done; gives it
    /// back otherwise, with nothing done.
    pub(crate) fn try_run(&mut self, work: Box<dyn Work>) -> Result<(), Box<dyn Work>> {
        if self.watching.is_watched() || self.is_sweep_due() {
            return Err(work);
        }
        let mut turns = [Turn::new(work.key().clone())];
        turns[0].works.push(work);
        let terms = Terms { read_bytes: SHORT, ..self.terms };
        let updated = self.update(&mut turns, &terms, S::try_update);
        let [mut turn] = turns;
        match updated {
            Err(error) if !error.is_unknown() => Err(turn.works.pop().expect("the one command")),
            updated => {
                self.tell(slice::from_mut(&mut turn), &updated);
                turn.answer(&updated);
                Ok(())
            }
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
            let terms = self.terms;
            let updated = self.update(turns, &terms, S::update);
            self.tell(turns, &updated);
            ends.extend(turns.iter().map(|_| updated.clone()));
        }
        ends
    }

    fn update(
        &mut self,
        turns: &mut [Turn],
        terms: &Terms,
        update: fn(&S, &[&str], &mut crate::Step<'_>) -> Result<(), StoreError>,
    ) -> Result<Timestamp, StoreError> {
        let Self { store, properties, recording, now, .. } = self;
        let names: Vec<LockKey> = turns.iter().map(|turn| turn.key.clone()).collect();
        let names: Vec<&str> = names.iter().map(LockKey::as_str).collect();
        update(store, &names, &mut |draft: &mut Draft<'_>| {
            *now = draft.now();
            let wanted = match properties.events {
                true => recording.wanted(draft)?,
                false => ChangeKinds::NONE,
            };
            for turn in &mut *turns {
                turn.run(draft, terms, wanted)?;
                journal::publish(draft, &turn.changes);
            }
            draft.set_needs_durability(turns.is_empty() || !turns.iter().all(Turn::is_heartbeat));
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
            for watcher in self.recording.others(self.watching.mailbox(), self.now) {
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
