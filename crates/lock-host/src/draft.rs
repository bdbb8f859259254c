//! Reads and pending writes of one update.

use std::fmt;

use lock_core::Timestamp;

use crate::StoreError;

/// Function that reads a cell in an update.
type Read<'a> = dyn FnMut(&str) -> Result<Option<Vec<u8>>, StoreError> + 'a;

/// Reads and pending writes of one update. The store makes it, the host's step fills it.
pub struct Draft<'a> {
    now: Timestamp,
    read: &'a mut Read<'a>,
    writes: Vec<Write>,
    events: Vec<Vec<u8>>,
    needs_durability: bool,
}

/// A cell and what it is to be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Write {
    /// The name of the cell.
    pub name: String,
    /// New cell; `None` removes it.
    pub cell: Option<Cell>,
}

/// Contents of a cell.
#[derive(Clone)]
#[non_exhaustive]
pub struct Cell {
    /// State, as returned by [`Draft::read`].
    pub state: Vec<u8>,
    /// For [`ScanFilter::Waits`](crate::ScanFilter::Waits).
    pub waits: bool,
    /// For [`ScanFilter::DueBy`](crate::ScanFilter::DueBy); `None` is never due.
    pub due: Option<Timestamp>,
}

impl Cell {
    pub(crate) const fn new(state: Vec<u8>, waits: bool, due: Option<Timestamp>) -> Self {
        Self { state, waits, due }
    }
}

/// The state may hold metadata, which may be secret.
impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, waits, due } = self;
        let mut cell = f.debug_struct("Cell");
        cell.field("bytes", &state.len()).field("waits", waits).field("due", due);
        cell.finish_non_exhaustive()
    }
}

impl<'a> Draft<'a> {
    /// An update that takes effect at the store's time `now` and reads cells by `read`.
    ///
    /// The time is read when nothing else can change the cells any more, where there are
    /// transactions.
    #[must_use]
    pub fn new(now: Timestamp, read: &'a mut Read<'a>) -> Self {
        Self { now, read, writes: Vec::new(), events: Vec::new(), needs_durability: true }
    }

    /// The store's time.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns the stored cell of `name`, without the writes of this draft.
    ///
    /// # Errors
    /// The error of the store: `Unavailable` when it does not answer, `Corrupt` when the cell is
    /// damaged.
    pub fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        (self.read)(name)
    }

    pub(crate) fn write(&mut self, name: &str, cell: Option<Cell>) {
        self.writes.push(Write { name: name.to_owned(), cell });
    }

    pub(crate) fn publish(&mut self, event: Vec<u8>) {
        self.events.push(event);
    }

    pub(crate) fn set_needs_durability(&mut self, needs_durability: bool) {
        self.needs_durability = needs_durability;
    }

    /// Returns `false` if the update need not be durable: it only notes that waiters are alive, and
    /// has answered nothing that an earlier update might lose.
    #[must_use]
    pub const fn needs_durability(&self) -> bool {
        self.needs_durability
    }

    /// The cells to write, of which none is there twice, and the events to publish.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Write>, Vec<Vec<u8>>) {
        (self.writes, self.events)
    }
}

impl fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut draft = f.debug_struct("Draft");
        draft.field("now", &self.now).field("writes", &self.writes);
        draft.field("events", &self.events.len()).finish_non_exhaustive()
    }
}
