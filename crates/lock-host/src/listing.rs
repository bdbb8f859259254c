//! Where a page of leases or of waiters ends.

use lock_core::{Cursor, Error, FencingToken, InvalidInput, LockKey, Operation, Violation};

/// The error of a cursor that this store did not write.
pub(crate) fn foreign(operation: Operation) -> Error {
    let violation = Violation::Malformed { expected: "a cursor of this store" };
    Error::invalid(operation, InvalidInput::new("cursor", violation))
}

/// Where a page of leases ended: before a key, or after a lease of it.
#[derive(Debug)]
pub(crate) struct ListCursor {
    pub(crate) key: LockKey,
    pub(crate) after: Option<FencingToken>,
}

impl ListCursor {
    pub(crate) fn write(&self) -> Cursor {
        let after = self.after.map_or(0, FencingToken::get);
        Cursor::new(format!("{after}/{}", self.key))
    }

    pub(crate) fn read(cursor: &Cursor) -> Result<Self, Error> {
        let parse = || {
            let (after, key) = cursor.as_str().split_once('/')?;
            let after = FencingToken::new(after.parse().ok()?);
            Some(Self { key: LockKey::parse(key).ok()?, after })
        };
        parse().ok_or_else(|| foreign(Operation::List))
    }
}

/// Where a page of waiters ended: before a key, or within the queue of it.
#[derive(Debug)]
pub(crate) struct WaitsCursor {
    pub(crate) key: LockKey,
    pub(crate) within: Option<Cursor>,
}

impl WaitsCursor {
    pub(crate) fn write(&self) -> Cursor {
        let within = self.within.as_ref().map_or("", Cursor::as_str);
        Cursor::new(format!("{within}/{}", self.key))
    }

    pub(crate) fn read(cursor: &Cursor) -> Result<Self, Error> {
        let parse = || {
            let (within, key) = cursor.as_str().split_once('/')?;
            let within = (!within.is_empty()).then(|| Cursor::new(within.to_owned()));
            Some(Self { key: LockKey::parse(key).ok()?, within })
        };
        parse().ok_or_else(|| foreign(Operation::WaitsOf))
    }
}
