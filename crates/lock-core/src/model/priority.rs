//! Priority, which is a head start in the queue.

use std::fmt;
use std::str::FromStr;

use crate::model::invalid::{InvalidInput, Violation};
use crate::{AgeingStep, HeadStart};

/// Priority of a request.
///
/// A priority is a head start: a request of one level more ranks as if it had come one ageing step
/// earlier. So no request is overtaken by one that came more than three steps later, and none
/// starves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[expect(clippy::exhaustive_enums, reason = "four levels bound how far a request is overtaken")]
pub enum Priority {
    /// Level 0.
    Low,
    /// Level 1.
    #[default]
    Normal,
    /// Level 2.
    High,
    /// Level 3.
    Critical,
}

impl Priority {
    /// All priorities, the least urgent first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Critical];

    /// Number of ageing steps in the head start.
    #[must_use]
    pub const fn level(self) -> u32 {
        match self {
            Self::Low => 0,
            Self::Normal => 1,
            Self::High => 2,
            Self::Critical => 3,
        }
    }

    /// The head start that this priority is with ageing steps of `step`.
    ///
    /// A step of zero is first come, first served; a huge one is strict priority.
    #[must_use]
    pub fn head_start(self, step: AgeingStep) -> HeadStart {
        HeadStart::steps(step, self.level())
    }

    /// The name, as [`FromStr`] reads it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Reads a name in any case.
impl FromStr for Priority {
    type Err = InvalidInput;
    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        Self::ALL.into_iter().find(|p| p.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let allowed = "low, normal, high, critical";
            InvalidInput::new("priority", Violation::UnknownWord { allowed })
        })
    }
}
