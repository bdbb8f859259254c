//! Lock mode: exclusive or shared.

use std::num::NonZeroU32;

use crate::model::invalid::{InvalidInput, Violation};
use crate::{FencingToken, RequestId};

/// Lock mode: exclusive or shared.
///
/// Leases share a key only with leases of the very same mode: two programs that disagree about the
/// number of permits take turns, and neither number is ever exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "a new mode changes the machine and every backend")]
pub enum Mode {
    /// No other lease of the key is alive.
    #[default]
    Exclusive,
    /// Other shared leases of the key may be alive.
    Shared {
        /// Maximum number of leases on the key; `None` for no limit.
        limit: Option<NonZeroU32>,
    },
    /// Exclusive, in the place of a lease of the same key. Only a request has this mode: its lease is
    /// exclusive.
    Upgrade {
        /// The request that holds the lease.
        request: RequestId,
        /// The token of the lease.
        token: FencingToken,
    },
}

impl Mode {
    /// A reader: any number of readers share a key.
    pub const READER: Self = Self::Shared { limit: None };

    /// The mode of the lease of a request of this mode.
    #[must_use]
    pub const fn of_lease(self) -> Self {
        match self {
            Self::Upgrade { .. } => Self::Exclusive,
            mode => mode,
        }
    }

    /// One of `permits` permits.
    ///
    /// # Errors
    /// [`InvalidInput`] when `permits` is zero.
    pub fn semaphore(permits: u32) -> Result<Self, InvalidInput> {
        match NonZeroU32::new(permits) {
            Some(limit) => Ok(Self::Shared { limit: Some(limit) }),
            None => Err(InvalidInput::new("limit", Violation::BelowLimit { limit: 1 })),
        }
    }
}
