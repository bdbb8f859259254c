//! Sweep of idle cells, a bounded number at a time.

use std::time::Duration;

use lock_core::machine::KeyState;
use lock_core::{FencingToken, LockKey, Timestamp};

use crate::cell::{self, FIRST_KEY, FLOOR, Record};
use crate::command::command;
use crate::draft::{Cell, Draft};
use crate::turn::Turn;
use crate::worker::Worker;
use crate::{Scan, ScanFilter, StateStore, StoreError};

/// Maximum number of cells that one sweep looks at.
const SWEEP: usize = 64;
/// Interval between sweeps that find nothing to do.
const REST: Duration = Duration::from_secs(60);

impl<S: StateStore> Worker<S> {
    /// Looks for unused cells, unless it did so just now.
    pub(crate) fn sweep(&mut self) {
        if !self.is_sweep_due() {
            return;
        }
        let now = self.now;
        // What fails is tried again by the next sweep.
        let seen = self.sweep_due(now).unwrap_or_default();
        self.sweep_at = if seen < SWEEP { now.after(REST) } else { now };
    }

    pub(crate) fn is_sweep_due(&self) -> bool {
        // A clock that was set back does not put the next sweep off.
        self.now >= self.sweep_at || self.sweep_at > self.now.after(REST)
    }

    /// Answers how many cells it looked at.
    fn sweep_due(&mut self, now: Timestamp) -> Result<usize, StoreError> {
        let due = Scan::new(FIRST_KEY, ScanFilter::DueBy(now), SWEEP);
        let names = self.store.scan(&due)?;
        let keys = names.iter().filter_map(|name| LockKey::parse(name).ok());
        let mut turns: Vec<Turn> = keys.map(sweeping).collect();
        self.run_turns(&mut turns);
        let is_idle = |turn: &&Turn| turn.idle.is_some();
        let idle: Vec<_> = turns.iter().filter(is_idle).map(|turn| turn.key.clone()).collect();
        let highest = turns.iter().filter_map(|turn| turn.idle.flatten()).max();
        turns.into_iter().for_each(|turn| turn.answer(&Ok(now)));
        if !idle.is_empty() {
            self.raise_floor(highest)?;
            self.remove(&idle)?;
        }
        Ok(names.len())
    }

    /// Keeps a token that no later cell may begin below.
    fn raise_floor(&mut self, token: Option<FencingToken>) -> Result<(), StoreError> {
        self.store.update(&[FLOOR], &mut |draft: &mut Draft<'_>| {
            if token > floor(draft)? {
                draft.write(FLOOR, Some(Cell::new(cell::write(&token), false, None)));
            }
            Ok(())
        })
    }

    fn remove(&mut self, keys: &[LockKey]) -> Result<(), StoreError> {
        let names: Vec<&str> = keys.iter().map(LockKey::as_str).collect();
        let at_once = if self.properties.transactions { names.len() } else { 1 };
        for names in names.chunks(at_once) {
            self.store.update(names, &mut |draft: &mut Draft<'_>| {
                let floor = floor(draft)?;
                for name in names {
                    let Some(bytes) = draft.read(name)? else { continue };
                    let record = Record::read(&bytes)?;
                    // It may be used again since it was looked at.
                    if record.state.is_idle() && record.token <= floor {
                        draft.write(name, None);
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// A turn that looks at a key as any command does, and says whether it is idle.
fn sweeping(key: LockKey) -> Turn {
    let (settle, _) = command(key.clone(), false, |_| false, KeyState::settle);
    Turn { works: vec![settle], is_sweep: true, ..Turn::new(key) }
}

/// The highest token of the cells that went.
pub(crate) fn floor(draft: &mut Draft<'_>) -> Result<Option<FencingToken>, StoreError> {
    let floor = draft.read(FLOOR)?.map(|bytes| cell::read(&bytes)).transpose()?;
    Ok(floor.flatten())
}
