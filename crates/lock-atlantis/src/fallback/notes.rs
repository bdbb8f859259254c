//! Notes in the mirror: records that ended there and may still be in the primary.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::locks::read;
use super::{Fallback, MOST_ATTEMPTS};
use crate::migrate::{Kind, Record};
use lock_compat::legacy::encode;
use lock_compat::{LegacyError, Result};

/// The prefix of all notes' names, which Atlantis does not take for its own.
const NOTES: &str = "lock-fallback/";

/// The kind of record that ended.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    /// Exactly this lock, of a project or a command.
    Lock(Record),
    /// Any status with this key.
    Status(String),
}

impl Ended {
    pub(super) fn of(record: &Record) -> Self {
        match record.kind() {
            Kind::Status => Self::Status(record.key().to_owned()),
            Kind::Lock | Kind::Command => Self::Lock(record.clone()),
        }
    }

    /// The name of the note. No name contains `::`, by which Atlantis' statuses are found.
    fn name(&self) -> String {
        match self {
            Self::Lock(record) => {
                format!("{NOTES}lock/{:016x}/{}", digest(record), escaped(record.key()))
            }
            Self::Status(key) => format!("{NOTES}status/{}", escaped(key)),
        }
    }

    fn body(&self) -> Vec<u8> {
        match self {
            Self::Lock(record) => record.encode(),
            Self::Status(key) => key.clone().into_bytes(),
        }
    }

    fn read(name: &str, body: &[u8]) -> Option<Self> {
        let rest = name.strip_prefix(NOTES)?;
        if let Some(key) = rest.strip_prefix("status/") {
            return Some(Self::Status(plain(key)));
        }
        let (_, key) = rest.strip_prefix("lock/")?.split_once('/')?;
        Record::read(&plain(key), body).ok().map(Self::Lock)
    }
}

fn escaped(key: &str) -> String {
    key.replace('%', "%25").replace(':', "%3A")
}

fn plain(key: &str) -> String {
    key.replace("%3A", ":").replace("%25", "%")
}

/// The same for the same lock, whatever its bytes: FNV-1a, which no version changes.
fn digest(record: &Record) -> u64 {
    let bytes = record.as_lock().map_or_else(|| record.encode(), |lock| encode(lock.value()));
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Returns `true` if two records mean the same; Atlantis may have written one of them with other
/// bytes.
pub(super) fn is_same(one: &Record, other: &Record) -> bool {
    let values = one.as_lock().zip(other.as_lock());
    one.encode() == other.encode()
        || values.is_some_and(|(one, other)| one.value() == other.value())
}

/// The standing of a record that was found in the primary alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It counts: it was made without the mirror.
    Counts,
    /// A note says that it ended.
    IsOver,
    /// It is not there any more.
    IsGone,
}

impl Standing {
    /// A note goes when its record is in neither store. So if the record is still there after no
    /// note was found, there was none when it was read.
    fn without_note(record: &Record, again: Option<&Record>) -> Self {
        match again {
            // The note of a status is on all that follow each other under its key.
            Some(again) if again.kind() == Kind::Status || is_same(again, record) => Self::Counts,
            _ => Self::IsGone,
        }
    }
}

/// The notes whose records this process found in neither store, and since when.
///
/// Another process may have read a record in the mirror before its note was written, and be about to
/// write it to the primary. It must find the note after that.
#[derive(Debug, Default)]
pub(super) struct Settled(Mutex<BTreeMap<String, Instant>>);

impl Settled {
    fn since(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all other notes.
    fn retain(&self, names: &BTreeSet<String>) {
        self.since().retain(|name, _| names.contains(name));
    }

    /// Returns `true` if the note has been settled for this long.
    fn for_long(&self, name: &str, is_settled: bool, span: Duration) -> bool {
        let mut since = self.since();
        if !is_settled {
            since.remove(name);
            return false;
        }
        since.entry(name.to_owned()).or_insert_with(Instant::now).elapsed() >= span
    }
}

impl Fallback {
    /// Writes a note that this ended, before it leaves the mirror.
    ///
    /// A reconciliation settles it later.
    pub(super) async fn note(&self, ended: &Ended) -> Result<()> {
        self.watch();
        let (name, body) = (ended.name(), ended.body());
        for _ in 0..MOST_ATTEMPTS {
            let there = self.mirror().document(&name).await?;
            if there.as_deref() == Some(&body)
                || self.mirror().swap_document(&name, there.as_deref(), Some(&body)).await?
            {
                return Ok(());
            }
        }
        Err(LegacyError::Contended { key: name })
    }

    /// The standing of a record that was found in the primary; `None` if the mirror serves alone
    /// from now on.
    pub(super) async fn standing(&self, record: &Record) -> Result<Option<Standing>> {
        if self.is_over(record).await? {
            return Ok(Some(Standing::IsOver));
        }
        let again = self.ask_primary(read(self.primary(), record)).await?;
        Ok(again.map(|again| Standing::without_note(record, again.as_ref())))
    }

    /// The same, whether or not the mirror serves alone.
    pub(super) async fn standing_now(&self, record: &Record) -> Result<Standing> {
        if self.is_over(record).await? {
            return Ok(Standing::IsOver);
        }
        Ok(Standing::without_note(record, read(self.primary(), record).await?.as_ref()))
    }

    /// Returns `true` if a record that is missing in the mirror ended there.
    async fn is_over(&self, record: &Record) -> Result<bool> {
        let name = Ended::of(record).name();
        let body = self.mirror().document(&name).await?;
        Ok(match body.and_then(|body| Ended::read(&name, &body)) {
            Some(Ended::Lock(ended)) => is_same(&ended, record),
            Some(Ended::Status(key)) => key == record.key(),
            None => false,
        })
    }

    /// Removes the notes on records that have been in neither store for some time.
    pub(super) async fn settle_notes(&self) -> Result<()> {
        let names = self.mirror().document_names(NOTES).await?;
        let names: BTreeSet<String> = names.into_iter().collect();
        self.0.settled.retain(&names);
        for name in names {
            let Some(body) = self.mirror().document(&name).await? else { continue };
            let is_settled = match Ended::read(&name, &body) {
                // It can neither be read nor acted on.
                None => true,
                Some(Ended::Lock(record)) => {
                    let is_there =
                        |found: Option<Record>| found.is_some_and(|found| is_same(&found, &record));
                    !is_there(read(self.mirror(), &record).await?)
                        && !is_there(read(self.primary(), &record).await?)
                }
                Some(Ended::Status(key)) => {
                    self.mirror().document(&key).await?.is_none()
                        && self.primary().document(&key).await?.is_none()
                }
            };
            if self.0.settled.for_long(&name, is_settled, self.0.config.notes_kept) {
                self.mirror().swap_document(&name, Some(&body), None).await?;
            }
        }
        Ok(())
    }
}
