//! Decorators: stores around stores, each adding one thing.

mod prefixed;
mod traced;

pub use prefixed::Prefixed;
pub use traced::Traced;
