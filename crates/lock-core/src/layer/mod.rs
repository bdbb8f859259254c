//! Decorators: stores around stores, each adding one thing.

mod circuit_breaker;
mod metered;
mod owner_limit;
mod prefixed;
mod traced;

pub use circuit_breaker::{BreakerConfig, CircuitBreaker, CircuitOpen, CircuitState};
pub use metered::Metered;
pub use owner_limit::{OwnerLimit, OwnerLimitReached};
pub use prefixed::Prefixed;
pub use traced::Traced;
