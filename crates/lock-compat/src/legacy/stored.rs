//! A value together with the bytes that it came from.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Damaged, decode, encode};

/// A value together with the bytes that it came from: as long as it is not changed, it is written
/// as it was, whatever its order, spaces and letters.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored<T> {
    value: T,
    /// Source bytes of the value; `None` if it is new or was changed.
    bytes: Option<Box<[u8]>>,
}

impl<T: Serialize + DeserializeOwned + PartialEq> Stored<T> {
    /// A value that was not stored yet.
    pub const fn new(value: T) -> Self {
        Self { value, bytes: None }
    }

    /// Parses the value stored under `key`.
    ///
    /// # Errors
    /// [`Damaged`] when the bytes are no such value.
    pub fn read(key: &str, bytes: &[u8]) -> Result<Self, Damaged> {
        Ok(Self { value: decode(key, bytes)?, bytes: Some(bytes.into()) })
    }

    /// The value.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// The value alone.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Puts another value in its place.
    pub fn update(&mut self, value: T) {
        if value != self.value {
            *self = Self::new(value);
        }
    }

    /// The bytes to store: those it came from, or Go's.
    pub fn encode(&self) -> Vec<u8> {
        self.bytes.as_ref().map_or_else(|| encode(&self.value), |bytes| bytes.to_vec())
    }
}

/// Shows the value alone: the bytes may hold secrets.
impl<T: std::fmt::Debug> std::fmt::Debug for Stored<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stored").field(&self.value).finish()
    }
}
