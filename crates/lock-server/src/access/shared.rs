//! The tokens that are valid now.

use std::sync::{Arc, PoisonError, RwLock};

use axum::http::HeaderMap;

use super::seal::Seal;
use super::{AccessClient, AccessTokens, Caller, credentials};
use crate::problem::Problem;

/// Who is served: every client, or those with a token. Clones share it.
#[derive(Clone, Debug)]
pub struct Access {
    tokens: Arc<RwLock<Option<AccessTokens>>>,
    pub(super) seal: Arc<Seal>,
}

impl Access {
    /// Every client may do everything.
    #[must_use]
    pub fn open() -> Self {
        Self { tokens: Arc::default(), seal: Arc::new(Seal::random()) }
    }

    /// Clients do what their tokens let them do.
    #[must_use]
    pub fn with_tokens(tokens: AccessTokens) -> Self {
        let access = Self::open();
        access.replace(tokens);
        access
    }

    /// Takes these tokens from now on. What the clients of a token that is gone or changed have under
    /// way ends: they are answered 401, their streams end, and keys that a connection holds are
    /// released.
    pub fn replace(&self, tokens: AccessTokens) {
        let mut now = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        *now = Some(tokens.succeed(now.as_ref()));
    }

    /// The client of this secret, for a server of another protocol. Where there are no tokens, every
    /// client is let in, whatever its secret; otherwise `None` for one without a valid token.
    #[must_use]
    pub fn client(&self, secret: Option<&[u8]>) -> Option<AccessClient> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let caller = match &*tokens {
            None => Caller::anonymous(),
            Some(tokens) => Caller::known(Arc::clone(tokens.find(secret?)?)),
        };
        Some(AccessClient::new(caller))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// The client of a request. Wrong credentials are refused, also where none are needed.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let Some(tokens) = &*tokens else { return Ok(Caller::anonymous()) };
        let Some(secret) = credentials::secret(headers)? else { return Ok(Caller::unknown()) };
        match tokens.find(&secret) {
            Some(entry) => Ok(Caller::known(Arc::clone(entry))),
            None => Err(Problem::unauthenticated("the token is not valid")),
        }
    }
}
