//! The form in which a cell is written, and the cells that are not those of a key.

use std::collections::BTreeMap;

use lock_core::machine::KeyState;
use lock_core::{ErrorKind, FencingToken, MailboxId, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// The version that stands in front of every cell.
const VERSION: u8 = 1;

/// The cell that keeps the highest token of all cells that went. Keys have no control characters.
pub(crate) const FLOOR: &str = "\u{1}floor";
/// The cell that keeps who watches.
pub(crate) const WATCHERS: &str = "\u{1}watchers";
/// The lowest name that the cell of a key can have.
pub(crate) const FIRST_KEY: &str = "\u{20}";

/// Watchers, each with its expiry.
pub(crate) type Watchers = BTreeMap<MailboxId, Timestamp>;

/// All there is to know of a key.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Record {
    /// The last token of the key.
    pub(crate) token: Option<FencingToken>,
    pub(crate) state: KeyState,
}

/// A record without its ownership, to be written.
#[derive(Serialize)]
struct Written<'a> {
    token: Option<FencingToken>,
    state: &'a KeyState,
}

impl Record {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        read(bytes)
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        write(&Written { token: self.token, state: &self.state })
    }
}

/// Reads what [`write`] wrote.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(damaged),
        Some((version, _)) => {
            let what = format!("the cell has the unknown version {version}");
            Err(StoreError::new(ErrorKind::Unsupported, what))
        }
        None => Err(damaged("it is empty")),
    }
}

pub(crate) fn write(what: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(what, vec![VERSION]).expect("what is known of a key can be written out")
}

fn damaged(why: impl std::fmt::Display) -> StoreError {
    StoreError::new(ErrorKind::Corrupt, format!("the cell is damaged: {why}"))
}
