//! Decorators: stores around stores, each adding one thing.

mod metered;
mod prefixed;
mod traced;

pub use metered::Metered;
pub use prefixed::Prefixed;
pub use traced::Traced;
