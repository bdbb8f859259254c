//! The vocabulary: values that are validated once, on construction.

pub(crate) mod clock;
pub(crate) mod duration;
pub(crate) mod identity;
pub(crate) mod invalid;
pub(crate) mod key;
pub(crate) mod metadata;
pub(crate) mod mode;
pub(crate) mod owner;
pub(crate) mod priority;
pub(crate) mod random;
pub(crate) mod reason;
pub(crate) mod text;
pub(crate) mod timed;
pub(crate) mod token;
pub(crate) mod ttl;
