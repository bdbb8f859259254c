//! A lock store in a directory: a file for each key, under one `flock`.
//!
//! `cargo run --example directory -- FOLDER KEY` holds the key for a second.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{Clock, LockManager, MailboxId, OwnerId, Timestamp, TokioClock};
use lock_host::{
    Cell, Draft, Events, HostBackend, HostConfig, Inbox, Listening, Properties, Scan, ScanFilter,
    StateStore, Step, StoreError, Write,
};

/// A file name has at most 255 bytes, two for each byte of a key.
const KEY_BYTES: usize = 120;

/// Cells in the files of a folder.
#[derive(Debug)]
pub(crate) struct Directory {
    folder: PathBuf,
    turn: File,
    clock: Arc<dyn Clock>,
}

impl Directory {
    pub(crate) fn open(folder: PathBuf, clock: impl Clock) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let turn = File::create(folder.join("turn"))?;
        Ok(Self { folder, turn, clock: Arc::new(clock) })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    /// The first line of a file is for scans: the due time of the cell, and its `waits`.
    fn read(&self, name: &str) -> io::Result<Option<(String, Vec<u8>)>> {
        let bytes = match fs::read(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(io::ErrorKind::InvalidData)?;
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        Ok(Some((line, bytes[end + 1..].to_vec())))
    }

    /// A file is replaced in one step, and is on the disk before that.
    fn write(&self, name: &str, cell: &Cell) -> io::Result<()> {
        let due = cell.due.map_or(u64::MAX, Timestamp::as_micros);
        let mut bytes = format!("{due} {}\n", cell.waits).into_bytes();
        bytes.extend(&cell.state);
        let new = self.folder.join("new");
        fs::write(&new, bytes)?;
        File::open(&new)?.sync_all()?;
        fs::rename(new, self.path(name))
    }

    fn is_wanted(&self, name: &str, filter: ScanFilter) -> io::Result<bool> {
        let Some((line, _)) = self.read(name)? else { return Ok(false) };
        let (due, waits) = line.split_once(' ').ok_or(io::ErrorKind::InvalidData)?;
        let due = due.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(match filter {
            ScanFilter::Waits => waits == "true",
            ScanFilter::DueBy(time) => Timestamp::from_micros(due) <= time,
            _ => true,
        })
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let byte = |pair| u8::from_str_radix(pair, 16).ok();
        let files = fs::read_dir(&self.folder)?.map(|file| Ok(file?.file_name()));
        let files = files.collect::<io::Result<Vec<_>>>()?;
        let names = files.iter().filter_map(|file| {
            let file = file.to_str()?;
            let pairs = (0..file.len()).step_by(2).map(|at| file.get(at..at + 2).and_then(byte));
            String::from_utf8(pairs.collect::<Option<_>>()?).ok()
        });
        Ok(names.collect())
    }
}

fn failed(error: io::Error) -> StoreError {
    StoreError::unavailable(error)
}

impl StateStore for Directory {
    fn properties(&self) -> Properties {
        let properties = Properties::new("directory".to_owned(), 0).with_durability();
        properties.with_key_bytes(KEY_BYTES)
    }

    fn update(&self, _names: &[&str], step: &mut Step<'_>) -> Result<(), StoreError> {
        self.turn.lock().map_err(failed)?;
        let mut read = |name: &str| Ok(self.read(name).map_err(failed)?.map(|(_, state)| state));
        let mut draft = Draft::new(self.clock.now(), &mut read);
        let updated = step(&mut draft).and_then(|()| {
            let (writes, _) = draft.into_parts();
            let write = |Write { name, cell, .. }: Write| match cell {
                Some(cell) => self.write(&name, &cell),
                None => fs::remove_file(self.path(&name)),
            };
            writes.into_iter().try_for_each(write).map_err(|error| failed(error).unknown())
        });
        self.turn.unlock().map_err(|error| failed(error).unknown())?;
        updated
    }

    fn try_update(&self, _names: &[&str], _step: &mut Step<'_>) -> Result<(), StoreError> {
        Err(StoreError::would_block())
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Vec<String>, StoreError> {
        let mut names = self.names().map_err(failed)?;
        names.retain(|name| name.as_str() >= scan.from);
        names.sort();
        let wanted = names.into_iter().filter_map(|name| {
            let is_wanted = self.is_wanted(&name, scan.filter);
            is_wanted.map(|is_wanted| is_wanted.then_some(name)).transpose()
        });
        wanted.take(scan.limit).collect::<io::Result<_>>().map_err(failed)
    }

    fn listen(&self, _mailbox: MailboxId, _inbox: Inbox) -> Result<Listening, StoreError> {
        Ok(Box::new(()))
    }

    fn notify(&self, _mailbox: MailboxId, _notice: &[u8]) {}

    fn events(&self, _after: u64, _limit: usize) -> Result<Events, StoreError> {
        Ok(Events::default())
    }

    fn warnings(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(key)) = (arguments.next(), arguments.next()) else {
        return Err("usage: directory FOLDER KEY".into());
    };
    let store = Directory::open(folder.into(), TokioClock::new())?;
    let backend = HostBackend::new(store, &HostConfig::new())?;
    let manager = LockManager::new(backend, OwnerId::parse("example")?);
    let work = async |_: &_| tokio::time::sleep(Duration::from_secs(1)).await;
    manager.acquire(key.as_str()).wait(Duration::from_secs(60)).hold(work).await?;
    manager.shutdown().await;
    Ok(())
}
