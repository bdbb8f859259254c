//! A client that a server of another protocol lets in by the same tokens.

use super::{Caller, Role};

/// A client that a server of another protocol lets in by the same tokens.
#[derive(Clone, Debug)]
pub struct AccessClient(Caller);

impl AccessClient {
    pub(super) const fn new(caller: Caller) -> Self {
        Self(caller)
    }

    /// The name of its token; `anonymous` where there are no tokens.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Returns `true` if it has the rights of this role.
    #[must_use]
    pub fn has_role(&self, role: Role) -> bool {
        self.0.needs(role).is_ok()
    }

    /// Returns `true` if its token covers what has this name, be it a lock or something else.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        self.0.covers_name(name)
    }

    /// Waits until its token is not valid any more.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn revoked(&self) {
        self.0.revoked().cancelled().await;
    }
}
