//! Validation errors: the field and the limit that it violates.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

/// A value that is outside its limits.
///
/// The refused value itself is not repeated: it may be long, or a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {violation}")]
pub struct InvalidInput {
    field: &'static str,
    violation: Violation,
}

/// Violated constraint of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The text has no characters; 1 to `limit` bytes are allowed.
    Empty {
        /// Bytes allowed.
        limit: usize,
    },
    /// The text has `length` bytes; `limit` are allowed.
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The text has a control character at the byte `at`.
    ControlCharacter {
        /// Byte offset of the first control character.
        at: usize,
    },
    /// The number is below the lowest that is allowed.
    BelowLimit {
        /// The lowest number allowed.
        limit: u64,
    },
    /// The span is shorter than the shortest that is allowed.
    TooShort {
        /// The shortest span allowed.
        limit: Duration,
    },
    /// The span is longer than the longest that is allowed.
    TooLarge {
        /// The longest span allowed.
        limit: Duration,
    },
    /// The text is not one of the allowed words.
    UnknownWord {
        /// The allowed words.
        allowed: &'static str,
    },
    /// The text does not have the required form.
    Malformed {
        /// The required form.
        expected: &'static str,
    },
}

impl InvalidInput {
    /// Names the `field` and its `violation`.
    #[must_use]
    pub const fn new(field: &'static str, violation: Violation) -> Self {
        Self { field, violation }
    }

    /// The field whose value was refused.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// The violated constraint, with its limit.
    #[must_use]
    pub const fn violation(&self) -> &Violation {
        &self.violation
    }
}

/// Lets conversions that cannot fail stand beside those that can.
impl From<Infallible> for InvalidInput {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { limit } => write!(f, "is empty, 1 to {limit} bytes are allowed"),
            Self::TooLong { length, limit } => {
                write!(f, "has {length} bytes, at most {limit} are allowed")
            }
            Self::ControlCharacter { at } => write!(f, "has a control character at byte {at}"),
            Self::BelowLimit { limit } => write!(f, "is below {limit}"),
            Self::TooShort { limit } => write!(f, "is shorter than {limit:?}"),
            Self::TooLarge { limit } => write!(f, "is longer than {limit:?}"),
            Self::UnknownWord { allowed } => write!(f, "is not one of {allowed}"),
            Self::Malformed { expected } => write!(f, "is not {expected}"),
        }
    }
}

/// Checks a text of 1 to `limit` bytes without control characters.
pub(crate) fn check_text(
    field: &'static str,
    limit: usize,
    text: &str,
) -> Result<(), InvalidInput> {
    let violation = if text.is_empty() {
        Violation::Empty { limit }
    } else if text.len() > limit {
        Violation::TooLong { length: text.len(), limit }
    } else if let Some(at) = text.find(char::is_control) {
        Violation::ControlCharacter { at }
    } else {
        return Ok(());
    };
    Err(InvalidInput::new(field, violation))
}

/// Checks a span of `shortest` to `longest` and turns it into whole milliseconds, rounded up.
pub(crate) fn check_span(
    field: &'static str,
    span: Duration,
    shortest: Duration,
    longest: Duration,
) -> Result<u64, InvalidInput> {
    let violation = if span < shortest {
        Violation::TooShort { limit: shortest }
    } else if span > longest {
        Violation::TooLarge { limit: longest }
    } else {
        let millis = span.as_nanos().div_ceil(1_000_000);
        return Ok(u64::try_from(millis).unwrap_or(u64::MAX));
    };
    Err(InvalidInput::new(field, violation))
}
