//! Atlantis' records over an adapter: locks of projects are leases, the others are documents.

mod documents;
mod locks;
mod name;
mod views;
mod writers;

use std::net::SocketAddr;

use bytes::Bytes;
use lock_compat::documents::DocumentError;
use lock_compat::{LegacyBackend as _, LegacyError, LockAdapter};
use lock_server::{AccessClient, AuditLog, Role};
use tokio_util::sync::CancellationToken;

use crate::codec::Reply;
use crate::command::SetForm;
use crate::script::Script;
use name::{RecordName, Scope};
pub(crate) use views::ClientId;
use views::Views;
use writers::Writers;

/// Atlantis' records over an adapter.
#[derive(Debug)]
pub(crate) struct Records {
    adapter: LockAdapter,
    audit: Option<AuditLog>,
    views: Views,
    writers: Writers,
}

/// The client of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    pub(crate) id: ClientId,
    pub(crate) access: AccessClient,
    pub(crate) peer: SocketAddr,
    /// The end of the connection.
    pub(crate) closed: CancellationToken,
}

/// An answer, or an error in its place.
pub(crate) type Answer = Result<Reply, Reply>;

impl Records {
    pub(crate) fn new(adapter: LockAdapter, audit: Option<AuditLog>) -> Self {
        Self { adapter, audit, views: Views::new(), writers: Writers::default() }
    }

    pub(crate) fn with_audit(&self, audit: AuditLog) -> Self {
        Self::new(self.adapter.clone(), Some(audit))
    }

    /// Checks that the store answers.
    pub(crate) async fn ping(&self) -> Result<(), Reply> {
        self.adapter.ping().await.map_err(Reply::from)
    }

    /// The keys of the locks of projects that match a pattern.
    pub(crate) async fn scan(&self, party: &Party, pattern: &[u8]) -> Answer {
        let scope = Scope::parse(pattern)?;
        let keys = self.lock_keys(party, &scope).await?;
        let keys = keys.into_iter().map(Reply::bulk).collect();
        Ok(Reply::Array(vec![Reply::bulk("0"), Reply::Array(keys)]))
    }

    pub(crate) async fn get(&self, party: &Party, key: &[u8]) -> Answer {
        let value = match RecordName::parse(key)? {
            RecordName::Lock(key) => self.lock(party, &key).await?,
            name @ (RecordName::Status(..) | RecordName::Command(_)) => {
                party.needs(&name.covered())?;
                self.document(party, &name).await?
            }
        };
        Ok(value.map_or(Reply::Null, Reply::bulk))
    }

    pub(crate) async fn set(
        &self,
        party: &Party,
        key: &[u8],
        value: &[u8],
        form: SetForm,
    ) -> Answer {
        party.needs_role(Role::Use)?;
        let name = RecordName::parse(key)?;
        let set = match &name {
            RecordName::Lock(key) => self.put_lock(party, key, value).await,
            RecordName::Command(key) => {
                party.needs(&name.covered())?;
                self.put_command(party, key, value).await
            }
            RecordName::Status(key, _) => {
                party.needs(&name.covered())?;
                self.put_status(party, key, value, form).await
            }
        };
        Ok(match (set?, form) {
            (Put::Done, SetForm::IfFreeByNumber) => Reply::Integer(1),
            (Put::Done, SetForm::Plain | SetForm::IfFree) => Reply::OK,
            (Put::Held(reason), SetForm::Plain) => return Err(reason),
            (Put::Held(_), SetForm::IfFree) => Reply::Null,
            (Put::Held(_), SetForm::IfFreeByNumber) => Reply::Integer(0),
        })
    }

    pub(crate) async fn delete(&self, party: &Party, key: &[u8]) -> Answer {
        party.needs_role(Role::Use)?;
        let name = RecordName::parse(key)?;
        let is_deleted = match &name {
            RecordName::Lock(key) => self.end_lock(party, key).await?,
            RecordName::Command(key) => {
                party.needs(&name.covered())?;
                self.end_command(party, key).await?
            }
            RecordName::Status(key, _) => {
                party.needs(&name.covered())?;
                self.forget_status(key).await?
            }
        };
        Ok(Reply::Integer(is_deleted.into()))
    }

    pub(crate) async fn evaluate(
        &self,
        party: &Party,
        script: Script,
        key: &[u8],
        arguments: &[Bytes],
    ) -> Answer {
        party.needs_role(Role::Use)?;
        let name = RecordName::parse(key)?;
        match (script, &name, arguments) {
            (Script::UnlockIfOwnedByPull, RecordName::Lock(key), [number]) => {
                let number = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
                let number = number.ok_or_else(|| Reply::error("the number is none"))?;
                let ended = self.end_lock_of(party, key, number).await?;
                Ok(ended.map_or(Reply::Null, Reply::bulk))
            }
            (Script::CompareAndSwapStatus, RecordName::Status(key, _), [is_there, old, new]) => {
                party.needs(&name.covered())?;
                let old = (&**is_there != b"0").then_some(&**old);
                Ok(Reply::Integer(self.swap_status(key, old, new).await?.into()))
            }
            _ => Err(Reply::error("this script is for another key, or other arguments")),
        }
    }
}

/// The outcome of a `SET`.
enum Put {
    /// The record is there.
    Done,
    /// Something else is there and stays: this says what.
    Held(Reply),
}

impl Party {
    fn needs_role(&self, role: Role) -> Result<(), Reply> {
        match self.access.has_role(role) {
            true => Ok(()),
            false => Err(not_permitted(format!(
                "the token `{}` needs the role `{role}`",
                self.access.name()
            ))),
        }
    }

    fn needs(&self, name: &str) -> Result<(), Reply> {
        match self.access.covers(name) {
            true => Ok(()),
            false => Err(not_permitted(format!(
                "the token `{}` does not cover `{name}`",
                self.access.name()
            ))),
        }
    }
}

fn not_permitted(text: String) -> Reply {
    Reply::Error("NOPERM", text.into())
}

/// The error of the store as a client sees it. The reason may name an address, and goes to the log.
fn failed(error: &LegacyError) -> Reply {
    match error {
        LegacyError::Store { unknown, source } => {
            tracing::warn!(%source, unknown, "the store failed");
            Reply::error(match unknown {
                true => "the lock store failed, and what was asked for may have happened",
                false => "the lock store failed, and nothing happened",
            })
        }
        LegacyError::InvalidKey { .. } => Reply::error(
            "this is no key of a lock of Atlantis 0.40 or later: pr/REPOSITORY/PATH/WORKSPACE/NAME",
        ),
        LegacyError::Invalid(input) => Reply::error(input.to_string()),
        _ => Reply::error(error.to_string()),
    }
}

impl From<LegacyError> for Reply {
    fn from(error: LegacyError) -> Self {
        failed(&error)
    }
}

impl From<DocumentError> for Reply {
    fn from(error: DocumentError) -> Self {
        failed(&error.into())
    }
}
