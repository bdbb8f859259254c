//! The client of a request, and what it may do.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use lock_core::LockKey;
use tokio_util::sync::CancellationToken;

use super::Role;
use super::tokens::Entry;
use crate::problem::Problem;

/// The client of a request, and what it may do.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Any client of a service without tokens, which may do everything.
    Anonymous,
    /// A client without a token, which may do nothing that needs one.
    Unknown,
    /// A client that is known by a token.
    Known(Known),
}

/// A client that is known by a token.
#[derive(Clone, Debug)]
pub(crate) struct Known(Arc<Entry>);

impl Caller {
    /// Name of a client of a service without tokens; no token has it.
    pub(crate) const ANONYMOUS: &str = "anonymous";

    pub(super) const fn anonymous() -> Self {
        Self::Anonymous
    }

    pub(super) const fn unknown() -> Self {
        Self::Unknown
    }

    pub(super) const fn known(entry: Arc<Entry>) -> Self {
        Self::Known(Known(entry))
    }

    /// The name of the token, for the audit log.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Anonymous | Self::Unknown => Self::ANONYMOUS,
            Self::Known(Known(entry)) => &entry.name,
        }
    }

    /// Refuses a client whose role is less.
    pub(crate) fn needs(&self, role: Role) -> Result<(), Problem> {
        match self {
            Self::Anonymous => Ok(()),
            Self::Unknown => Err(Problem::unauthenticated("a token is needed")),
            Self::Known(Known(entry)) if entry.role >= role => Ok(()),
            Self::Known(Known(entry)) => Err(Problem::forbidden(format!(
                "the token `{}` has the role `{}`; this needs `{role}`",
                entry.name, entry.role
            ))),
        }
    }

    /// Refuses a client whose token does not cover the key.
    pub(crate) fn needs_key(&self, key: &LockKey) -> Result<(), Problem> {
        match self {
            _ if self.covers(key) => Ok(()),
            Self::Known(Known(entry)) => Err(Problem::forbidden(format!(
                "the token `{}` does not cover the key `{key}`: it has the prefixes `{}`",
                entry.name,
                entry.prefixes.join("`, `")
            ))),
            _ => Err(Problem::unauthenticated("a token is needed")),
        }
    }

    pub(crate) fn covers(&self, key: &LockKey) -> bool {
        self.covers_name(key.as_str())
    }

    /// The same for the name of something that is no lock.
    pub(super) fn covers_name(&self, name: &str) -> bool {
        match self {
            Self::Anonymous => true,
            Self::Unknown => false,
            Self::Known(Known(entry)) => {
                let mut prefixes = entry.prefixes.iter();
                entry.prefixes.is_empty() || prefixes.any(|it| name.starts_with(it))
            }
        }
    }

    /// The prefix that holds all keys that begin with `asked` and are covered. The store then reads
    /// less; what else begins with it is left out later.
    pub(crate) fn narrowed(&self, asked: String) -> String {
        let Self::Known(Known(entry)) = self else { return asked };
        let mut within = entry.prefixes.iter().filter(|prefix| prefix.starts_with(&asked));
        match (within.next(), within.next()) {
            (Some(only), None) if !entry.prefixes.iter().any(|it| asked.starts_with(it)) => {
                only.clone()
            }
            _ => asked,
        }
    }

    /// Whether the client sees the requests of others. To know the request of a lease is to be able to
    /// renew, release and transfer it.
    pub(super) fn sees_requests(&self) -> bool {
        self.needs(Role::Operate).is_ok()
    }

    /// Whether the client sees everything.
    pub(crate) fn sees_all(&self) -> bool {
        match self {
            Self::Anonymous => true,
            Self::Unknown => false,
            Self::Known(Known(entry)) => self.sees_requests() && entry.prefixes.is_empty(),
        }
    }

    /// Is cancelled when the token is not valid any more.
    pub(crate) fn revoked(&self) -> CancellationToken {
        match self {
            Self::Anonymous | Self::Unknown => CancellationToken::new(),
            Self::Known(Known(entry)) => entry.revoked.clone(),
        }
    }
}

/// The client that [`identify`](super::identify) found.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or(Self::Unknown))
    }
}
