//! The fixture of a backend under test: starts it, connects to it and moves its clock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Capabilities, LockStore};

/// A backend under test.
///
/// # Examples
/// ```
/// use std::{sync::Arc, time::Duration};
/// use lock_core::{Capabilities, LockStore};
/// use lock_memory::MemoryBackend;
/// use lock_testkit::Fixture;
///
/// struct Memory(MemoryBackend);
///
/// #[async_trait::async_trait]
/// impl Fixture for Memory {
///     async fn start() -> Self {
///         Self(MemoryBackend::new())
///     }
///     async fn connect(&self) -> Arc<dyn LockStore> {
///         Arc::new(self.0.clone())
///     }
///     async fn elapse(&self, span: Duration) {
///         tokio::time::advance(span).await;
///     }
///     async fn set_back(&self, _span: Duration) -> bool {
///         false
///     }
///     fn longest_elapse(&self) -> Duration {
///         Duration::MAX
///     }
///     fn expected(&self) -> Capabilities {
///         Capabilities::none().with_notices().with_events()
///     }
///     fn paused() -> bool {
///         true
///     }
/// }
///
/// lock_testkit::conformance!(Memory);
/// ```
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    /// Starts an empty store, for one case alone.
    async fn start() -> Self
    where
        Self: Sized;

    /// Connects to the store as another process would.
    async fn connect(&self) -> Arc<dyn LockStore>;

    /// Advances the store's clock by this span.
    async fn elapse(&self, span: Duration);

    /// Sets the store's clock back; `false` when it cannot be set, and the cases that need it are
    /// skipped.
    async fn set_back(&self, span: Duration) -> bool;

    /// The longest span that [`elapse`](Self::elapse) can let pass, at least two seconds; the cases
    /// that need a longer one are skipped. A clock that is set by hand lets any span pass.
    fn longest_elapse(&self) -> Duration;

    /// The capabilities that the store must report.
    fn expected(&self) -> Capabilities;

    /// Returns `true` if the cases run on tokio's paused clock. A store behind a socket cannot.
    fn paused() -> bool
    where
        Self: Sized;
}
