//! Records, and the stores between which a migration moves them.

use std::fmt;

use async_trait::async_trait;

use lock_compat::Result;
use lock_compat::legacy::{
    CommandLock, Damaged, LegacyKey, ProjectLock, PullKey, PullStatus, Stored, decode,
};

/// The prefix of all keys of project locks.
const LOCKS: &str = "pr/";

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "Atlantis stores three kinds of records")]
pub enum Kind {
    /// The lock of a project.
    Lock,
    /// The status of a pull request.
    Status,
    /// The lock of a command.
    Command,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Lock, Self::Status, Self::Command];
}

/// The name of a record: its kind, and its key in Atlantis' Redis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct RecordName {
    /// The kind of the record.
    pub kind: Kind,
    /// Its key.
    pub key: String,
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}

/// A record of Atlantis, with the bytes in which it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    name: RecordName,
    place: String,
    content: Content,
}

/// The parsed record, which proves that it is valid and names its key.
#[derive(Clone, PartialEq, Eq)]
enum Content {
    Lock(Box<Stored<ProjectLock>>),
    Status(Box<[u8]>),
    Command(Box<[u8]>),
}

impl Record {
    /// The lock of a project, under its key in Atlantis' Redis.
    #[must_use]
    pub fn lock(stored: Stored<ProjectLock>) -> Self {
        let key = format!("{LOCKS}{}", LegacyKey::of(stored.value()));
        let name = RecordName { kind: Kind::Lock, key: key.clone() };
        Self { name, place: key, content: Content::Lock(Box::new(stored)) }
    }

    /// Parses the value of a key of Atlantis' Redis.
    ///
    /// A lock may be under a key of the form before version 0.40: that is then its
    /// [place](Self::place), and the lock itself names its [key](Self::key).
    ///
    /// # Errors
    /// [`Damaged`] when the key is not that of a record, or the value is not such a record.
    pub fn read(key: &str, bytes: &[u8]) -> Result<Self, Damaged> {
        let new = |kind, content| {
            let name = RecordName { kind, key: key.to_owned() };
            Self { name, place: key.to_owned(), content }
        };
        if let Some(rest) = key.strip_prefix(LOCKS) {
            let mut record = Self::lock(Stored::read(key, bytes)?);
            if record.name.key != key && record.key_before_names().as_deref() != Some(rest) {
                return Err(Damaged::new(key, "it is the lock of another project than its key"));
            }
            key.clone_into(&mut record.place);
            return Ok(record);
        }
        if key.strip_prefix("global/").is_some_and(|rest| rest.ends_with("/lock")) {
            decode::<CommandLock>(key, bytes)?;
            return Ok(new(Kind::Command, Content::Command(bytes.into())));
        }
        if PullKey::parse(key).is_some() {
            decode::<PullStatus>(key, bytes)?;
            return Ok(new(Kind::Status, Content::Status(bytes.into())));
        }
        Err(Damaged::new(key, "its key is not that of a record"))
    }

    /// The kind of the record.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.name.kind
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &RecordName {
        &self.name
    }

    /// The key that it has in Atlantis' Redis: `pr/…` with the name of the project,
    /// `HOST::REPO::NUMBER` or `global/…/lock`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.name.key
    }

    /// The key under which it was found, which may be of an older form.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The lock, if the record is that of a project.
    #[must_use]
    pub fn as_lock(&self) -> Option<&Stored<ProjectLock>> {
        match &self.content {
            Content::Lock(stored) => Some(stored),
            Content::Status(_) | Content::Command(_) => None,
        }
    }

    /// The bytes in which it is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match &self.content {
            Content::Lock(stored) => stored.encode(),
            Content::Status(bytes) | Content::Command(bytes) => bytes.to_vec(),
        }
    }

    /// The result of finding these bytes where this record is to go.
    ///
    /// The reason of a conflict names the owner of the other record, and never the contents of the
    /// bytes.
    pub fn beside(&self, bytes: &[u8]) -> Put {
        if self.encode() == bytes {
            return Put::Same;
        }
        let reason = match &self.content {
            Content::Lock(own) => match decode::<ProjectLock>(self.key(), bytes) {
                Ok(held) if held == *own.value() => "the same lock in other bytes".to_owned(),
                Ok(held) => {
                    let (num, repo) = (held.pull.num, held.pull.base_repo.full_name);
                    format!("a lock of pull request {num} of {repo:?}")
                }
                Err(damaged) => format!("an unreadable record: {}", damaged.reason),
            },
            Content::Status(_) => other("another status", decode::<PullStatus>(self.key(), bytes)),
            Content::Command(_) => other("another lock", decode::<CommandLock>(self.key(), bytes)),
        };
        Put::Conflict(format!("the target keeps {reason}"))
    }

    fn key_before_names(&self) -> Option<String> {
        Some(LegacyKey::of(self.as_lock()?.value()).before_names())
    }
}

/// Describes a document that is in the way.
fn other<T>(other: &str, read: Result<T, Damaged>) -> String {
    match read {
        Ok(_) => other.to_owned(),
        Err(damaged) => format!("an unreadable record: {}", damaged.reason),
    }
}

/// Shows kind, key and place: the bytes may hold secrets.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, place, .. } = self;
        let mut record = f.debug_struct("Record");
        record.field("kind", &name.kind).field("key", &name.key).field("place", place);
        record.finish_non_exhaustive()
    }
}

/// The records that were found, and the values that are not records.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Records {
    /// The records.
    pub records: Vec<Record>,
    /// Values that are stored among the records and cannot be read.
    pub damaged: Vec<Damaged>,
    /// Foreign keys that look like those of records, and are left alone.
    pub foreign: Vec<String>,
}

impl Records {
    /// These records, and the values that cannot be read.
    #[must_use]
    pub const fn new(records: Vec<Record>, damaged: Vec<Damaged>) -> Self {
        Self { records, damaged, foreign: Vec::new() }
    }

    /// Adds another result.
    pub fn add(&mut self, read: Result<Record, Damaged>) {
        match read {
            Ok(record) => self.records.push(record),
            Err(reason) => self.damaged.push(reason),
        }
    }
}

/// The result of putting a record into a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "nothing is there, or the same, or something else")]
pub enum Put {
    /// It was written; nothing was there.
    Written,
    /// The same bytes were there already.
    Same,
    /// Something else is there and stays, for this reason.
    Conflict(String),
}

/// A source of records.
///
/// # Cancel safety
/// Reading may be dropped at any time.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// All records, in no order, each as it is stored. One that cannot be read is not an error, and
    /// hides no other.
    ///
    /// # Errors
    /// When the store fails.
    async fn records(&self) -> Result<Records>;
}

/// A store from which records can be read, and to which they can be written.
///
/// # Cancel safety
/// A [`put`](Self::put) or [`remove`](Self::remove) that is dropped, or whose error [is
/// unknown](lock_compat::LegacyError::is_unknown), may have happened; repeating it is harmless.
#[async_trait]
pub trait RecordStore: Source {
    /// The bytes at the place of this record, readable or not.
    ///
    /// # Errors
    /// When the record cannot be stored here, or the store fails.
    async fn read(&self, record: &Record) -> Result<Option<Vec<u8>>>;

    /// Writes a record to the byte under its key, if nothing is there, in one step.
    ///
    /// # Errors
    /// When the record cannot be stored here, or the store fails.
    async fn put(&self, record: &Record) -> Result<Put>;

    /// Removes a record from its [place](Record::place), if it is still the same to the byte, in
    /// one step; `false` if it is not.
    ///
    /// # Errors
    /// When the store fails.
    async fn remove(&self, record: &Record) -> Result<bool>;
}
