//! Statuses of pull requests and locks of commands: documents with revisions.

use bytes::Bytes;
use lock_compat::documents::{Document, Replacement, Revision};
use lock_compat::legacy::{CommandLock, PullStatus, decode};

use super::locks::NOT_SEEN;
use super::name::RecordName;
use super::views::Version;
use super::{Party, Put, Records};
use crate::codec::Reply;
use crate::command::SetForm;

/// Maximum number of compare-and-swap attempts.
const MOST_ATTEMPTS: usize = 1000;

impl Records {
    /// The document of this name, which the client has then seen.
    pub(super) async fn document(
        &self,
        party: &Party,
        name: &RecordName,
    ) -> Result<Option<Bytes>, Reply> {
        let (RecordName::Status(key, _) | RecordName::Command(key)) = name else { return Ok(None) };
        let Some(document) = self.read(key).await? else { return Ok(None) };
        self.views.show(&party.id, key, Version::Document(document.revision));
        Ok(Some(document.body.into()))
    }

    /// Locks a command if nobody has.
    pub(super) async fn put_command(
        &self,
        party: &Party,
        key: &str,
        value: &[u8],
    ) -> Result<Put, Reply> {
        decode::<CommandLock>(key, value).map_err(|damaged| Reply::error(damaged.to_string()))?;
        for _ in 0..MOST_ATTEMPTS {
            if self.replace(key, None, Some(value)).await? {
                self.writers.wrote(key, &party.id, &party.closed);
                return Ok(Put::Done);
            }
            let Some(there) = self.read(key).await? else { continue };
            let is_same = there.body == value && self.writers.repeats(key, &party.id).await;
            return Ok(match is_same {
                true => Put::Done,
                false => Put::Held(Reply::error("this command was locked meanwhile")),
            });
        }
        Err(changing(key))
    }

    /// Unlocks a command if its lock is the one that the client saw.
    pub(super) async fn end_command(&self, party: &Party, key: &str) -> Result<bool, Reply> {
        let Some(there) = self.read(key).await? else { return Ok(false) };
        if !self.views.take(&party.id, key, Version::Document(there.revision)) {
            return Err(Reply::error(NOT_SEEN));
        }
        self.replace(key, Some(there.revision), None).await
    }

    /// Puts a status in the place of the one that the client saw, or of none.
    pub(super) async fn put_status(
        &self,
        party: &Party,
        key: &str,
        value: &[u8],
        form: SetForm,
    ) -> Result<Put, Reply> {
        check_status(key, value)?;
        let there = self.read(key).await?;
        let revision = there.as_ref().map(|document| document.revision);
        let may_replace = match &there {
            None => true,
            Some(document) if document.body == value => return Ok(Put::Done),
            Some(_) if form != SetForm::Plain => false,
            Some(document) => self.views.take(&party.id, key, Version::Document(document.revision)),
        };
        Ok(match may_replace && self.replace(key, revision, Some(value)).await? {
            true => Put::Done,
            false => Put::Held(Reply::error(
                "this status was changed since it was read, and was not written: repeat the command",
            )),
        })
    }

    /// Forgets a status, whatever it is: Atlantis does not read it before.
    pub(super) async fn forget_status(&self, key: &str) -> Result<bool, Reply> {
        for _ in 0..MOST_ATTEMPTS {
            let Some(there) = self.read(key).await? else { return Ok(false) };
            if self.replace(key, Some(there.revision), None).await? {
                return Ok(true);
            }
        }
        Err(changing(key))
    }

    /// Puts a status in the place of these very bytes, or of none; `false` if something else is there.
    pub(super) async fn swap_status(
        &self,
        key: &str,
        old: Option<&[u8]>,
        new: &[u8],
    ) -> Result<bool, Reply> {
        check_status(key, new)?;
        let there = self.read(key).await?;
        let (revision, body) = there.map(|it| (it.revision, it.body)).unzip();
        Ok(body.as_deref() == old && self.replace(key, revision, Some(new)).await?)
    }

    async fn read(&self, key: &str) -> Result<Option<Document>, Reply> {
        Ok(self.adapter.documents().read(key).await?)
    }

    async fn replace(
        &self,
        key: &str,
        expected: Option<Revision>,
        body: Option<&[u8]>,
    ) -> Result<bool, Reply> {
        let replaced = self.adapter.documents().replace(key, expected, body).await?;
        Ok(replaced == Replacement::Done)
    }
}

/// Refuses what is no status. The bytes may be secret, and are not quoted.
fn check_status(key: &str, value: &[u8]) -> Result<(), Reply> {
    let status = decode::<PullStatus>(key, value);
    status.map(drop).map_err(|damaged| Reply::error(damaged.to_string()))
}

fn changing(key: &str) -> Reply {
    Reply::error(format!("{key:?} keeps changing"))
}
