//! The commands of one key that share an update.

use std::num::NonZeroUsize;
use std::time::Duration;

use lock_core::machine::{KeyState, Step};
use lock_core::{Change, ChangeKinds, FencingToken, LockKey, MailboxId, Notice, Timestamp};

use crate::cell::Record;
use crate::command::Work;
use crate::draft::{Cell, Draft};
use crate::sweep::floor;
use crate::{Properties, StoreError};

/// Options for writing cells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) cell_bytes: Option<NonZeroUsize>,
    pub(crate) idle_span: Duration,
    /// Maximum number of bytes of a cell that is read; an update with a longer one would block.
    pub(crate) read_bytes: usize,
}

impl Terms {
    /// The due time of a cell that is unused from `now` on, rounded up so that a cell in use seldom
    /// gets another one.
    pub(crate) fn due(&self, now: Timestamp) -> Timestamp {
        let grain = u64::try_from(self.idle_span.as_micros() / 4).unwrap_or(u64::MAX).max(1);
        let due = now.after(self.idle_span).as_micros();
        Timestamp::from_micros(due.div_ceil(grain).saturating_mul(grain))
    }

    /// The due time of a cell with live requests: when all of them are dead, if it is unused until
    /// then.
    fn due_while_alive(&self, state: &KeyState, now: Timestamp) -> Option<Timestamp> {
        let leases = state.leases(now).map(|lease| lease.expires_at);
        let waiters = state.waiters(now).map(|waiter| Some(waiter.silent_at));
        let ends: Option<Vec<Timestamp>> = leases.chain(waiters).collect();
        ends.map(|ends| self.due(ends.into_iter().fold(now, Timestamp::max)))
    }

    /// The most bytes that a command may leave. The last eighth is for those that end something, which
    /// leave marks.
    fn limit(&self, may_grow: bool) -> usize {
        let bytes = self.cell_bytes.map_or(usize::MAX, NonZeroUsize::get);
        if may_grow { bytes / 8 * 7 } else { bytes }
    }
}

impl From<(&Properties, Duration)> for Terms {
    fn from((properties, idle_span): (&Properties, Duration)) -> Self {
        Self { cell_bytes: properties.cell_bytes, idle_span, read_bytes: usize::MAX }
    }
}

/// The commands of one key that share an update.
pub(crate) struct Turn {
    pub(crate) key: LockKey,
    pub(crate) works: Vec<Box<dyn Work>>,
    /// Notices of the last run.
    pub(crate) notices: Vec<(MailboxId, Notice)>,
    pub(crate) changes: Vec<Change>,
    /// `true` if the turn only checks whether the cell can be removed.
    pub(crate) is_sweep: bool,
    /// The last token of the key, if the last run of a sweep left it idle.
    pub(crate) idle: Option<Option<FencingToken>>,
    /// Why the cell could not be used, whatever became of the update.
    pub(crate) failed: Option<StoreError>,
}

impl Turn {
    pub(crate) fn new(key: LockKey) -> Self {
        let (works, notices, changes) = (Vec::new(), Vec::new(), Vec::new());
        Self { key, works, notices, changes, is_sweep: false, idle: None, failed: None }
    }

    /// Runs the commands on the cell of the key. It may be run again.
    pub(crate) fn run(
        &mut self,
        draft: &mut Draft<'_>,
        terms: &Terms,
        wanted: ChangeKinds,
    ) -> Result<(), StoreError> {
        // The results of an earlier run do not count.
        (self.failed, self.idle) = (None, None);
        self.notices.clear();
        self.changes.clear();
        let before = draft.read(self.key.as_str())?;
        if before.as_ref().is_some_and(|bytes| bytes.len() > terms.read_bytes) {
            return Err(StoreError::would_block());
        }
        let record = match &before {
            Some(bytes) => Record::read(bytes),
            // The floor is read after the cell was found missing, so it is not below its last token.
            None => Ok(Record { token: floor(draft)?, ..Record::default() }),
        };
        match record {
            Ok(record) => self.run_and_write(draft, before.as_deref(), record, terms, wanted),
            Err(error) => {
                // It is the trouble of this key alone, and does not stand in the way of sweeps.
                if let (true, Some(before)) = (self.is_sweep, before) {
                    let later = Some(terms.due(draft.now()));
                    draft.write(self.key.as_str(), Some(Cell::new(before, false, later)));
                }
                self.failed = Some(error);
                Ok(())
            }
        }
    }

    fn run_and_write(
        &mut self,
        draft: &mut Draft<'_>,
        before: Option<&[u8]>,
        mut record: Record,
        terms: &Terms,
        wanted: ChangeKinds,
    ) -> Result<(), StoreError> {
        let (now, start) = (draft.now(), record.token);
        let mut after = self.run_on(&mut record, now, terms, wanted, false);
        if after.len() > terms.limit(true) {
            record = match before {
                Some(bytes) => Record::read(bytes)?,
                None => Record { token: start, ..Record::default() },
            };
            after = self.run_on(&mut record, now, terms, wanted, true);
        }
        let state = &record.state;
        let is_changed = match before {
            Some(before) => before != after,
            None => !state.is_idle() || record.token != start,
        };
        self.idle = (self.is_sweep && state.is_idle()).then_some(record.token);
        if is_changed || (self.is_sweep && self.idle.is_none()) {
            let due = match self.is_sweep {
                true => terms.due_while_alive(state, now),
                false => Some(terms.due(now)),
            };
            draft.write(self.key.as_str(), Some(Cell::new(after, state.has_waiters(), due)));
        }
        Ok(())
    }

    /// Runs the commands one after another, and answers with the cell as it is to be; if they are
    /// measured, those that make it too large are refused.
    fn run_on(
        &mut self,
        record: &mut Record,
        now: Timestamp,
        terms: &Terms,
        wanted: ChangeKinds,
        measured: bool,
    ) -> Vec<u8> {
        self.notices.clear();
        self.changes.clear();
        for work in &mut self.works {
            let mut step = Step::new(now, record.token, wanted);
            let token = record.token;
            let measure = |record: &Record| (record.write().len(), record.state.clone());
            let before = measured.then(|| measure(record));
            work.run(&mut record.state, &mut step);
            record.token = step.last_token;
            if let Some((least, state)) = before {
                let (length, limit) = (record.write().len(), terms.limit(work.may_grow()));
                if length > limit.max(least) {
                    *record = Record { token, state };
                    work.refuse(StoreError::too_large(length, limit));
                    continue;
                }
            }
            self.notices.append(&mut step.effects.notices);
            self.changes.append(&mut step.effects.changes);
        }
        record.write()
    }

    /// Returns `true` if the last run changed nothing but the times at which waiters were heard of,
    /// and told nobody of anything else.
    pub(crate) fn is_heartbeat(&self) -> bool {
        let is_quiet = self.failed.is_none() && self.notices.is_empty() && self.changes.is_empty();
        is_quiet && !self.is_sweep && self.works.iter().all(|work| work.is_heartbeat())
    }

    /// Answers the commands.
    pub(crate) fn answer(self, end: &Result<Timestamp, StoreError>) {
        let end = self.failed.map_or_else(|| end.clone(), Err);
        self.works.into_iter().for_each(|work| work.answer(end.clone()));
    }
}
