//! The events of the store, which are recorded while somebody watches.

use std::time::Duration;

use lock_core::{Change, ChangeKinds, MailboxId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cell::{self, WATCHERS, Watchers};
use crate::draft::{Cell, Draft};
use crate::worker::Worker;
use crate::{Inbox, StateStore, StoreError};

/// Time for which everything is recorded after a process enlisted as a watcher, so that one that ended
/// can go on where it was.
const WATCH_SPAN: Duration = Duration::from_secs(24 * 60 * 60);
/// Interval at which a process that watches enlists again. One that missed two is told nothing, as
/// each notice to it costs every command.
const ENLIST_EVERY: Duration = Duration::from_secs(60);

/// Watchers known to the last update.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    watchers: Watchers,
}

impl Recording {
    /// The kinds of changes to record in this update.
    pub(crate) fn wanted(&mut self, draft: &mut Draft<'_>) -> Result<ChangeKinds, StoreError> {
        self.look(draft)?;
        Ok(if self.watchers.is_empty() { ChangeKinds::NONE } else { ChangeKinds::ALL })
    }

    /// Returns `true` if this watcher enlisted recently.
    pub(crate) fn is_enlisted(&self, own: MailboxId, now: Timestamp) -> bool {
        let since = now.after(WATCH_SPAN - ENLIST_EVERY);
        self.watchers.get(&own).is_some_and(|until| *until > since)
    }

    /// Those who watch elsewhere.
    pub(crate) fn others(&self, own: MailboxId, now: Timestamp) -> impl Iterator<Item = MailboxId> {
        let alive = self.watchers.iter().filter(move |(_, until)| is_alive(**until, now));
        alive.map(|(watcher, _)| *watcher).filter(move |watcher| *watcher != own)
    }

    fn look(&mut self, draft: &mut Draft<'_>) -> Result<(), StoreError> {
        let (now, bytes) = (draft.now(), draft.read(WATCHERS)?);
        self.watchers = bytes.map(|bytes| cell::read(&bytes)).transpose()?.unwrap_or_default();
        self.watchers.retain(|_, until| *until > now);
        Ok(())
    }
}

impl<S: StateStore> Worker<S> {
    /// Lets everything be recorded from now on, and answers with the number of the last event before.
    pub(crate) fn begin_to_watch(&mut self, inbox: Inbox) -> Result<u64, StoreError> {
        if self.properties.pushes && self.listening.is_none() {
            self.listening = Some(self.store.listen(self.watching.mailbox(), inbox)?);
        }
        self.enlist()?;
        Ok(self.store.events(u64::MAX, 0)?.last)
    }

    /// Lets all who use the store record what happens, for a day from now on.
    pub(crate) fn enlist(&mut self) -> Result<(), StoreError> {
        let own = self.watching.mailbox();
        let recording = &mut self.recording;
        self.store.update(&[WATCHERS], &mut |draft: &mut Draft<'_>| {
            recording.look(draft)?;
            if recording.is_enlisted(own, draft.now()) {
                return Ok(());
            }
            if recording.watchers.is_empty() {
                // Nobody recorded what happened before.
                draft.publish(Vec::new());
            }
            recording.watchers.retain(|_, until| is_alive(*until, draft.now()));
            recording.watchers.insert(own, draft.now().after(WATCH_SPAN));
            let cell = Cell::new(cell::write(&recording.watchers), false, None);
            draft.write(WATCHERS, Some(cell));
            Ok(())
        })
    }
}

/// Returns `true` if a watcher that is known until then enlisted recently.
fn is_alive(until: Timestamp, now: Timestamp) -> bool {
    until > now.after(WATCH_SPAN - 2 * ENLIST_EVERY)
}

#[derive(Serialize)]
struct Written<'a> {
    at: Timestamp,
    change: &'a Change,
}

#[derive(Deserialize)]
struct Read {
    at: Timestamp,
    change: Change,
}

/// Publishes what happened in an update.
pub(crate) fn publish(draft: &mut Draft<'_>, changes: &[Change]) {
    let at = draft.now();
    for change in changes {
        draft.publish(cell::write(&Written { at, change }));
    }
}

/// When something happened and what; `None` where something may be missing.
pub(crate) fn read(bytes: &[u8]) -> Option<(Timestamp, Change)> {
    cell::read(bytes).ok().map(|Read { at, change }| (at, change))
}
