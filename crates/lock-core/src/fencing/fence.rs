//! A fence in memory.

use std::sync::{Mutex, PoisonError};

use crate::FencingToken;

/// The highest token that has written to a resource of this process.
///
/// It is forgotten with the process: a resource that outlives it keeps the token in itself.
///
/// # Examples
/// ```
/// use lock_core::FencingToken;
/// use lock_core::fencing::Fence;
///
/// let (fence, mut value) = (Fence::default(), 0);
/// let token = |number| FencingToken::new(number).unwrap();
/// fence.write(token(8), || value = 8)?;
/// let stale = fence.write(token(7), || value = 7).unwrap_err();
/// assert_eq!((stale.highest, value), (token(8), 8));
/// # Ok::<(), lock_core::fencing::StaleToken>(())
/// ```
#[derive(Debug, Default)]
pub struct Fence {
    highest: Mutex<Option<FencingToken>>,
}

/// A write with a token below the highest that has written; nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("token {token} is stale: {highest} has written")]
#[non_exhaustive]
pub struct StaleToken {
    /// The token of the write.
    pub token: FencingToken,
    /// The highest token that has written.
    pub highest: FencingToken,
}

impl Fence {
    /// Writes unless a higher token has written. The check and the write are one step: no other
    /// write of this fence comes in between.
    ///
    /// # Errors
    /// [`StaleToken`] when a higher token has written.
    pub fn write<T>(
        &self,
        token: FencingToken,
        write: impl FnOnce() -> T,
    ) -> Result<T, StaleToken> {
        let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        match *highest {
            Some(highest) if token < highest => Err(StaleToken { token, highest }),
            _ => {
                *highest = Some(token);
                Ok(write())
            }
        }
    }
}
