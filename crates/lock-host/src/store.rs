//! The trait of a byte store.

use std::fmt;
use std::num::NonZeroUsize;

use lock_core::{LockKey, MailboxId, Timestamp};

use crate::{Draft, Inbox, Listening, StoreError};

/// The work of one update. It is pure: it may be run again from the start on a fresh draft, and only
/// its last run counts.
pub type Step<'a> = dyn FnMut(&mut Draft<'_>) -> Result<(), StoreError> + 'a;

/// A store that keeps bytes under names.
///
/// Every method but [`try_update`](Self::try_update) blocks until it is done. The host calls them one at
/// a time: `try_update` on the thread of the calling task, the others on a thread of its own. Several
/// hosts, in one process or in many, may use the same store at once.
///
/// # What a store promises
/// - Updates of one cell take effect one after another, from any number of hosts, and an update
///   sees every update of the cell that ended before it began.
/// - An update whose error is not [unknown](StoreError::unknown) changed nothing.
/// - A cell is read as it was written, byte by byte, under exactly its name.
/// - Writes are durable when `update` returns, as far as [`Properties`] say, unless the draft
///   [does not need that](Draft::needs_durability).
pub trait StateStore: fmt::Debug + Send + Sync + 'static {
    /// Properties of the store. They do not change.
    fn properties(&self) -> Properties;

    /// Runs `step` on a fresh draft, and writes all that the draft then holds, or nothing.
    ///
    /// The step writes no cells besides `names`, but may read others; without names it only reads
    /// the time. With [transactions](Properties::with_transactions), draft and write are one
    /// transaction. Without, there is at most one name, and the store writes the cell only if it is
    /// still as the draft read it; otherwise it runs the step again, a bounded number of times, and
    /// then fails with [`StoreError::conflict`]. The events of the draft are written in the same
    /// transaction, or right after the cell.
    ///
    /// # Errors
    /// `Unavailable` when the store does not answer (did not happen, or
    /// [unknown](StoreError::unknown)), and on [`StoreError::conflict`]; `Corrupt` when a cell is
    /// damaged; `InvalidInput` when a cell is larger than the store allows. An error of the step is
    /// returned unchanged.
    fn update(&self, names: &[&str], step: &mut Step<'_>) -> Result<(), StoreError>;

    /// Like [`update`](Self::update), but fails where it would wait for another process or for a disk: a
    /// thread that runs asynchronous tasks calls it.
    ///
    /// A command that arrives alone is then answered without a change of threads, which costs more than
    /// a short transaction. After an error that is not [unknown](StoreError::unknown) the host's thread
    /// runs the step again in [`update`](Self::update). A store whose updates always wait fails with
    /// [`StoreError::would_block`].
    ///
    /// # Errors
    /// [`StoreError::would_block`] where it would wait; otherwise as `update`.
    fn try_update(&self, names: &[&str], step: &mut Step<'_>) -> Result<(), StoreError>;

    /// The names of cells from `scan.from` on, the lowest first, at most `scan.limit`.
    ///
    /// Names are ordered by their bytes; those of cells that are due may come in any order. The
    /// result may contain cells that the filter excludes, and misses none that it includes.
    ///
    /// # Errors
    /// `Unavailable` when the store does not answer; `Corrupt` when it is damaged.
    fn scan(&self, scan: &Scan<'_>) -> Result<Vec<String>, StoreError>;

    /// Opens a mailbox: notices of other hosts' [`notify`](Self::notify) go into `inbox`, until the
    /// returned value is dropped. It is called only if the store [pushes](Properties::with_pushes).
    ///
    /// A store that may have lost a notice calls [`Inbox::may_have_missed`].
    ///
    /// # Errors
    /// `Unavailable` when the store does not answer; `Corrupt` when it is damaged.
    fn listen(&self, mailbox: MailboxId, inbox: Inbox) -> Result<Listening, StoreError>;

    /// Sends a notice to a mailbox, wherever it is open; if it is open nowhere, the notice is
    /// dropped. It is called only if the store [pushes](Properties::with_pushes).
    fn notify(&self, mailbox: MailboxId, notice: &[u8]);

    /// The events after number `after`, in order, at most `limit`. It is called only if the store
    /// [keeps events](Properties::with_events).
    ///
    /// # Errors
    /// `Unavailable` when the store does not answer; `Corrupt` when it is damaged.
    fn events(&self, after: u64, limit: usize) -> Result<Events, StoreError>;

    /// Warnings for the operator; empty if the store is healthy.
    ///
    /// # Errors
    /// `Unavailable` when the store does not answer; `Corrupt` when it is damaged.
    fn warnings(&self) -> Result<Vec<String>, StoreError>;
}

/// A query for the names of cells.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Scan<'a> {
    /// The lowest name to return.
    pub from: &'a str,
    /// Filter of cells.
    pub filter: ScanFilter,
    /// Maximum number of names.
    pub limit: usize,
}

impl<'a> Scan<'a> {
    pub(crate) const fn new(from: &'a str, filter: ScanFilter, limit: usize) -> Self {
        Self { from, filter, limit }
    }
}

/// Condition on the cells of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScanFilter {
    /// No condition.
    All,
    /// Its [`waits`](crate::Cell::waits) is set.
    Waits,
    /// Its [`due`](crate::Cell::due) is not after this.
    DueBy(Timestamp),
}

/// Some of the events that a store keeps.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Events {
    /// The events and their numbers, which increase by one.
    pub items: Vec<(u64, Vec<u8>)>,
    /// The number of the first event that is kept; one more than the last if none is.
    pub first: u64,
    /// The number of the last event ever published; zero if there was none.
    pub last: u64,
}

impl Events {
    /// These events; the store keeps those from `first` to `last`.
    #[must_use]
    pub const fn new(items: Vec<(u64, Vec<u8>)>, first: u64, last: u64) -> Self {
        Self { items, first, last }
    }
}

/// Properties of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Properties {
    /// Name and version of the store, for display.
    pub name: String,
    /// Identity that distinguishes events of this store from those of another.
    pub identity: u64,
    /// An update writes several cells, or none of them.
    pub transactions: bool,
    /// [`StateStore::notify`] reaches other hosts.
    pub pushes: bool,
    /// [`StateStore::events`] returns published events.
    pub events: bool,
    /// Processes on several machines can share the store.
    pub shared: bool,
    /// Cells outlive the process that keeps the store.
    pub durable: bool,
    /// Maximum bytes of a key.
    pub key_bytes: usize,
    /// Maximum bytes of a cell.
    pub cell_bytes: Option<NonZeroUsize>,
}

impl Properties {
    /// A store that offers nothing beyond cells.
    #[must_use]
    pub const fn new(name: String, identity: u64) -> Self {
        Self {
            name,
            identity,
            transactions: false,
            pushes: false,
            events: false,
            shared: false,
            durable: false,
            key_bytes: LockKey::MAX_BYTES,
            cell_bytes: None,
        }
    }

    /// Writes several cells in one update.
    #[must_use]
    pub fn with_transactions(self) -> Self {
        Self { transactions: true, ..self }
    }

    /// Sends notices to other hosts.
    #[must_use]
    pub fn with_pushes(self) -> Self {
        Self { pushes: true, ..self }
    }

    /// Keeps events.
    #[must_use]
    pub fn with_events(self) -> Self {
        Self { events: true, ..self }
    }

    /// Can be shared between machines.
    #[must_use]
    pub fn with_sharing(self) -> Self {
        Self { shared: true, ..self }
    }

    /// Outlives its process.
    #[must_use]
    pub fn with_durability(self) -> Self {
        Self { durable: true, ..self }
    }

    /// Takes keys of at most this many bytes.
    #[must_use]
    pub fn with_key_bytes(self, key_bytes: usize) -> Self {
        Self { key_bytes, ..self }
    }

    /// Takes cells of at most this many bytes.
    #[must_use]
    pub fn with_cell_bytes(self, cell_bytes: NonZeroUsize) -> Self {
        Self { cell_bytes: Some(cell_bytes), ..self }
    }
}
