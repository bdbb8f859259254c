//! A map in memory that compares and sets, conflicts on purpose and may lose notices.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::ThreadId;

use lock_core::{Clock, MailboxId, Timestamp};
use lock_host::{
    Cell, Draft, Events, HostBackend, HostConfig, Inbox, Listening, Properties, Scan, ScanFilter,
    StateStore, Step, StoreError,
};

/// Where the clocks of tests begin.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
/// Maximum number of update attempts.
const ATTEMPTS: usize = 1000;

/// Behaviour of the map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// Every so many updates, another writer comes between reading and writing.
    pub(crate) conflict_every: u64,
    /// Every so many notices one is lost, without a word.
    pub(crate) lose_every: u64,
    pub(crate) pushes: bool,
    pub(crate) cell_bytes: Option<usize>,
}

impl Manners {
    pub(crate) const fn rough() -> Self {
        Self { conflict_every: 3, lose_every: u64::MAX, pushes: true, cell_bytes: None }
    }
}

/// State shared by all connections.
#[derive(Debug)]
struct Shared {
    manners: Manners,
    cells: Mutex<BTreeMap<String, (Cell, u64)>>,
    events: Mutex<Vec<Vec<u8>>>,
    /// The number of events that are not kept any more.
    dropped: AtomicU64,
    open: Mutex<HashMap<MailboxId, Inbox>>,
    versions: AtomicU64,
    attempts: AtomicU64,
    tries: AtomicU64,
    updated_by: Mutex<Option<ThreadId>>,
    needs_durability: AtomicBool,
    conflicts: AtomicU64,
    notices: AtomicU64,
}

/// A map in memory that compares and sets.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics under this lock")
}

impl Map {
    pub(crate) fn new(manners: Manners, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared {
            manners,
            cells: Mutex::default(),
            events: Mutex::default(),
            dropped: AtomicU64::new(0),
            open: Mutex::default(),
            versions: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
            tries: AtomicU64::new(0),
            updated_by: Mutex::default(),
            needs_durability: AtomicBool::default(),
            conflicts: AtomicU64::new(0),
            notices: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared), clock }
    }

    pub(crate) fn host(&self, config: &HostConfig) -> HostBackend<Self> {
        HostBackend::new(self.clone(), config).expect("a thread starts")
    }

    /// Returns the numbers of reads and of conflicts.
    pub(crate) fn attempts_and_conflicts(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
        (of(&self.shared.attempts), of(&self.shared.conflicts))
    }

    /// The thread of the last update.
    pub(crate) fn updated_by(&self) -> Option<ThreadId> {
        *lock(&self.shared.updated_by)
    }

    /// Returns `true` if the last update had to be durable.
    pub(crate) fn needs_durability(&self) -> bool {
        self.shared.needs_durability.load(Ordering::SeqCst)
    }

    /// Number of notices that were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.notices.load(Ordering::SeqCst)
    }

    /// Number of lost notices.
    pub(crate) fn lost(&self) -> u64 {
        self.sent() / self.shared.manners.lose_every
    }

    /// The names of all cells.
    pub(crate) fn names(&self) -> Vec<String> {
        lock(&self.shared.cells).keys().cloned().collect()
    }

    /// Puts something else in the place of a cell.
    pub(crate) fn overwrite(&self, name: &str, state: &[u8]) {
        let mut cells = lock(&self.shared.cells);
        let (cell, version) = cells.get_mut(name).expect("there is such a cell");
        (cell.state, *version) = (state.to_vec(), self.next_version());
    }

    /// Returns the state of a cell.
    pub(crate) fn state(&self, name: &str) -> Vec<u8> {
        lock(&self.shared.cells)[name].0.state.clone()
    }

    /// Keeps none of the events so far.
    pub(crate) fn drop_events(&self) {
        let count = lock(&self.shared.events).len() as u64;
        self.shared.dropped.store(count, Ordering::SeqCst);
    }

    fn next_version(&self) -> u64 {
        self.shared.versions.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Somebody else writes the same again, which changes the version alone.
    fn interfere(&self, name: &str) {
        if let Some((_, version)) = lock(&self.shared.cells).get_mut(name) {
            *version = self.next_version();
        }
    }

    fn compare_and_set(&self, name: &str, seen: Option<u64>, cell: Option<Cell>) -> bool {
        let mut cells = lock(&self.shared.cells);
        if cells.get(name).map(|(_, version)| *version) != seen {
            return false;
        }
        match cell {
            Some(cell) => drop(cells.insert(name.to_owned(), (cell, self.next_version()))),
            None => drop(cells.remove(name)),
        }
        true
    }
}

impl StateStore for Map {
    fn properties(&self) -> Properties {
        let properties = Properties::new("map".to_owned(), 7).with_events();
        let properties = match self.shared.manners.cell_bytes {
            Some(bytes) => properties.with_cell_bytes(bytes.try_into().expect("not zero")),
            None => properties,
        };
        if self.shared.manners.pushes { properties.with_pushes() } else { properties }
    }

    fn update(&self, names: &[&str], step: &mut Step<'_>) -> Result<(), StoreError> {
        assert!(names.len() <= 1, "this store has no transactions");
        *lock(&self.shared.updated_by) = Some(std::thread::current().id());
        for _ in 0..ATTEMPTS {
            let mut seen = None;
            let mut read = |name: &str| {
                let cell = lock(&self.shared.cells).get(name).cloned();
                if names == [name] {
                    seen = cell.as_ref().map(|(_, version)| *version);
                }
                Ok(cell.map(|(cell, _)| cell.state))
            };
            let mut draft = Draft::new(self.clock.now(), &mut read);
            step(&mut draft)?;
            self.shared.needs_durability.store(draft.needs_durability(), Ordering::SeqCst);
            let (writes, events) = draft.into_parts();
            let attempt = self.shared.attempts.fetch_add(1, Ordering::SeqCst);
            if attempt.is_multiple_of(self.shared.manners.conflict_every) {
                names.iter().for_each(|name| self.interfere(name));
            }
            // Others take their turn here, if they will.
            std::thread::yield_now();
            let written = writes.into_iter().all(|write| {
                assert_eq!(names, [write.name.as_str()], "another cell is written");
                self.compare_and_set(&write.name, seen, write.cell)
            });
            if written {
                lock(&self.shared.events).extend(events);
                return Ok(());
            }
            self.shared.conflicts.fetch_add(1, Ordering::SeqCst);
        }
        Err(StoreError::conflict())
    }

    /// Every other one would block.
    fn try_update(&self, names: &[&str], step: &mut Step<'_>) -> Result<(), StoreError> {
        match self.shared.tries.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => self.update(names, step),
            _ => Err(StoreError::would_block()),
        }
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Vec<String>, StoreError> {
        let cells = lock(&self.shared.cells);
        let wanted = |cell: &Cell| match scan.filter {
            ScanFilter::Waits => cell.waits,
            ScanFilter::DueBy(time) => cell.due.is_some_and(|due| due <= time),
            _ => true,
        };
        let behind = cells.range(scan.from.to_owned()..).filter(|(_, (cell, _))| wanted(cell));
        Ok(behind.take(scan.limit).map(|(name, _)| name.clone()).collect())
    }

    fn listen(&self, mailbox: MailboxId, inbox: Inbox) -> Result<Listening, StoreError> {
        lock(&self.shared.open).insert(mailbox, inbox);
        Ok(Box::new(()))
    }

    fn notify(&self, mailbox: MailboxId, notice: &[u8]) {
        let number = self.shared.notices.fetch_add(1, Ordering::SeqCst) + 1;
        let is_lost = number.is_multiple_of(self.shared.manners.lose_every);
        let inbox = lock(&self.shared.open).get(&mailbox).filter(|_| !is_lost).cloned();
        if let Some(inbox) = inbox {
            inbox.deliver(notice);
        }
    }

    fn events(&self, after: u64, limit: usize) -> Result<Events, StoreError> {
        let events = lock(&self.shared.events);
        let dropped = self.shared.dropped.load(Ordering::SeqCst);
        let after = after.max(dropped);
        let behind = (1..).zip(events.iter()).skip_while(|(number, _)| *number <= after);
        let items = behind.take(limit).map(|(number, bytes)| (number, bytes.clone())).collect();
        Ok(Events::new(items, dropped + 1, events.len() as u64))
    }

    fn warnings(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}
