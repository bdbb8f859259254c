//! Problems with a file, with their remedies.

use std::io;
use std::path::{Path, PathBuf};

use lock_core::ErrorKind;
use lock_host::StoreError;
use rusqlite::ErrorCode;

/// Problems with a file, with their remedies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteError {
    /// The file was not created by this program; it was not modified.
    #[error("{path} is not a lock store ({what}); it was not modified: use another path")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Description of the file.
        what: &'static str,
    },
    /// The file was created by a later version; it was not modified.
    #[error("{path} has schema {found}, this program knows {known}: use a newer program")]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version that it has.
        found: u32,
        /// The newest version that is known.
        known: u32,
    },
    /// The file is damaged.
    #[error("{path} is damaged ({cause}): stop its users, then restore or remove it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Message of SQLite.
        cause: String,
    },
    /// The file that was opened is not there any more.
    #[error("{path} was deleted or replaced while in use: restore it, or restart its users")]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{path} cannot be used: {cause}; check its directory and permissions")]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The file has a second name, which would have a log of its own.
    #[error("{path} has a second name, with a log of its own ({remedy})")]
    NamedTwice {
        /// The file.
        path: PathBuf,
        /// The kind of name, and how it goes.
        remedy: &'static str,
    },
    /// There is no room.
    #[error("no space left for {path}: free space on its disk")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another program keeps the file locked.
    #[error("{path} is locked by another program: end its transaction")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The state of a key, or a document, is larger than SQLite takes.
    #[error("{path} cannot store a value this large: shorten the queue or the document")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The disk or the system failed.
    #[error("{path} failed: {cause}; check its disk")]
    Failed {
        /// The file.
        path: PathBuf,
        /// Message of SQLite or the system.
        cause: String,
    },
    /// No thread was started.
    #[error("no thread for {path}: {cause}; check the limits of the process")]
    NoThread {
        /// The file.
        path: PathBuf,
        /// Message of the system.
        cause: String,
    },
}

impl SqliteError {
    /// Error of the system for a file.
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Unusable { path, cause: error.to_string() },
        }
    }

    /// Error of SQLite for a file.
    pub(crate) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let (path, cause) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, cause }
            }
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            Some(ErrorCode::TooBig | ErrorCode::OutOfMemory) => Self::TooLarge { path },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::Unusable { path, cause }
            }
            _ => Self::Failed { path, cause },
        }
    }

    const fn kind(&self) -> ErrorKind {
        match self {
            Self::Foreign { .. } | Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Newer { .. } => ErrorKind::Unsupported,
            Self::TooLarge { .. } => ErrorKind::InvalidInput,
            Self::Replaced { .. }
            | Self::Unusable { .. }
            | Self::NamedTwice { .. }
            | Self::Full { .. }
            | Self::Busy { .. }
            | Self::Failed { .. }
            | Self::NoThread { .. } => ErrorKind::Unavailable,
        }
    }
}

impl From<SqliteError> for StoreError {
    fn from(error: SqliteError) -> Self {
        Self::new(error.kind(), error)
    }
}
