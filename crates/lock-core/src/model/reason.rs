//! The reason for an eviction.

use crate::model::text::text;

text! {
    /// Reason for an eviction by an operator: 1 to 1,024 bytes of UTF-8 without control characters.
    Reason, "reason", 1024
}
