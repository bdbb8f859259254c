//! States in the documents of a store of locks.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use axum::body::Bytes;
use lock_core::{FencingToken, RequestId};
use lock_documents::{Document, DocumentStore, Replacement, Revision};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::files::checksum;
use super::{Refused, StateError, StateName, StateStore, Write};

/// Number of earlier bodies that are kept of a state.
const VERSIONS: usize = 20;
/// Maximum number of attempts to change a head while other servers change it.
const ATTEMPTS: usize = 64;

/// States in the documents of a store, for servers on several machines.
///
/// Each state has a head (`terraform/states/NAME`: the highest token and the names of its bodies) and
/// a document for each of its last 21 bodies (`terraform/bodies/NAME~/ID`), which is never changed. A
/// write announces its body in the head, stores it, and makes it the current one by a compare-and-set
/// of the head. The body of a writer that died in between is removed by the next lock of the state.
#[derive(Clone, Debug)]
pub struct DocumentStates {
    documents: Arc<dyn DocumentStore>,
}

/// The head of a state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Head {
    token: u64,
    current: Option<Body>,
    /// Earlier bodies, the oldest first.
    versions: Vec<Body>,
    /// Bodies that are being written.
    pending: Vec<Body>,
}

impl Head {
    /// Takes the announced bodies of holders before this one, which can no longer become current.
    fn take_abandoned(&mut self, token: FencingToken) -> Vec<Body> {
        self.pending.extract_if(.., |body| body.token < token.get()).collect()
    }

    /// Replaces the current body, and takes those that are too old to be kept.
    fn replace(&mut self, body: Option<&Body>) -> Vec<Body> {
        self.pending.retain(|pending| Some(pending) != body);
        self.versions.extend(self.current.take());
        self.current = body.cloned();
        let surplus = self.versions.len().saturating_sub(VERSIONS);
        self.versions.drain(..surplus).collect()
    }
}

/// A body in a document of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Body {
    document: String,
    sha256: String,
    /// Token of the lock that it was written under.
    token: u64,
}

impl DocumentStates {
    /// Keeps states in these documents.
    #[must_use]
    pub fn new(documents: Arc<dyn DocumentStore>) -> Self {
        Self { documents }
    }

    async fn head(&self, name: &StateName) -> Result<(Option<Revision>, Head), StateError> {
        let place = head_name(name);
        match self.documents.read(&place).await.map_err(StateError::new)? {
            None => Ok((None, Head::default())),
            Some(Document { revision, body, .. }) => match serde_json::from_slice(&body) {
                Ok(head) => Ok((Some(revision), head)),
                Err(error) => Err(StateError::new(format!("{place} is damaged: {error}"))),
            },
        }
    }

    /// Changes the head unless the token is below its highest, which it is from then on, and removes
    /// the bodies that the head no longer names.
    async fn change(
        &self,
        name: &StateName,
        token: FencingToken,
        change: impl Fn(&mut Head) -> Vec<Body>,
    ) -> Result<Write, StateError> {
        for _ in 0..ATTEMPTS {
            let (revision, mut head) = self.head(name).await?;
            if let Some(highest) = FencingToken::new(head.token).filter(|highest| *highest > token)
            {
                return Ok(Write::Outdated { highest });
            }
            head.token = token.get();
            let mut unused = head.take_abandoned(token);
            unused.extend(change(&mut head));
            let bytes = serde_json::to_vec(&head).map_err(StateError::new)?;
            let replaced = self.documents.replace(&head_name(name), revision, Some(&bytes)).await;
            if replaced.map_err(StateError::new)? == Replacement::Done {
                for body in unused {
                    if let Err(error) = self.remove(&body).await {
                        tracing::warn!(document = body.document, %error, "an unused body stays");
                    }
                }
                return Ok(Write::Done);
            }
        }
        Err(StateError::new(format!("{} is changed too often by others", head_name(name))))
    }

    /// Announces a body and stores it, unless the token is below the highest.
    async fn store(
        &self,
        name: &StateName,
        token: FencingToken,
        bytes: &[u8],
    ) -> Result<Result<Body, Write>, StateError> {
        let document = format!("terraform/bodies/{name}~/{}", RequestId::random());
        let body = Body { document, sha256: checksum(bytes), token: token.get() };
        let announced = self.change(name, token, |head| {
            head.pending.push(body.clone());
            Vec::new()
        });
        match announced.await? {
            Write::Done => {
                self.create(&body.document, bytes).await?;
                Ok(Ok(body))
            }
            outdated => Ok(Err(outdated)),
        }
    }

    async fn create(&self, document: &str, bytes: &[u8]) -> Result<(), StateError> {
        match self.documents.replace(document, None, Some(bytes)).await.map_err(StateError::new)? {
            Replacement::Done => Ok(()),
            Replacement::Changed => Err(StateError::new(format!("{document} exists already"))),
        }
    }

    /// Removes a body that no head names.
    async fn remove(&self, body: &Body) -> Result<(), StateError> {
        let Some(document) = self.documents.read(&body.document).await.map_err(StateError::new)?
        else {
            return Ok(());
        };
        let removed = self.documents.replace(&body.document, Some(document.revision), None).await;
        removed.map(drop).map_err(StateError::new)
    }
}

#[async_trait]
impl StateStore for DocumentStates {
    async fn load(&self, name: &StateName) -> Result<Option<Bytes>, StateError> {
        let mut seen = None;
        loop {
            let Some(body) = self.head(name).await?.1.current else { return Ok(None) };
            let document = self.documents.read(&body.document).await.map_err(StateError::new)?;
            match document {
                Some(document) if checksum(&document.body) == body.sha256 => {
                    return Ok(Some(document.body.into()));
                }
                // Later writes have removed it since the head was read.
                None if seen.as_ref() != Some(&body) => seen = Some(body),
                found => {
                    let what = if found.is_some() { "damaged" } else { "missing" };
                    let words = "restore an earlier body from `terraform/bodies`";
                    return Err(StateError::new(format!("{} is {what}: {words}", body.document)));
                }
            }
        }
    }

    async fn fence(&self, name: &StateName, token: FencingToken) -> Result<Write, StateError> {
        self.change(name, token, |_| Vec::new()).await
    }

    async fn replace(
        &self,
        name: &StateName,
        token: FencingToken,
        body: Option<Bytes>,
    ) -> Result<Write, StateError> {
        let body = match body {
            None => None,
            Some(bytes) => match self.store(name, token, &bytes).await? {
                Ok(body) => Some(body),
                Err(outdated) => return Ok(outdated),
            },
        };
        self.change(name, token, |head| head.replace(body.as_ref())).await
    }

    async fn keep_refused(&self, name: &StateName, refused: &Refused) -> Result<(), StateError> {
        let at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
        let Refused { body, lock, reason } = refused;
        let about = json!({ "lock": lock, "reason": reason, "at_micros": at as u64 }).to_string();
        let document = format!("terraform/refused/{name}~/{at}-{}", RequestId::random());
        self.create(&format!("{document}.tfstate"), body).await?;
        self.create(&format!("{document}.json"), about.as_bytes()).await
    }
}

fn head_name(name: &StateName) -> String {
    format!("terraform/states/{name}")
}
