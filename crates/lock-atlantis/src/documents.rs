//! Documents in Redis.

use std::sync::Arc;

use async_trait::async_trait;
use lock_core::{InvalidInput, Violation};
use redis::Script;

use crate::server::{Server, ServerConfig, named, plain};
use lock_compat::documents::{
    Document, DocumentError, DocumentStore, Replacement, Result, Revision,
};
use lock_compat::{LegacyError, legacy::Damaged};

/// Documents in Redis, below a prefix; clones share the connection.
#[derive(Clone, Debug)]
pub struct RedisDocuments {
    server: Arc<Server>,
    prefix: String,
    replace: Script,
}

impl RedisDocuments {
    /// Maximum bytes of a prefix.
    pub const MAX_PREFIX_BYTES: usize = 64;

    /// Connects to the documents below `prefix`: a word without colons and braces that does not
    /// begin with `pr`, so that Atlantis takes none of them for its own.
    ///
    /// # Errors
    /// [`InvalidInput`] when the prefix is not valid; an error of the store when the server cannot
    /// be reached.
    pub async fn connect(config: ServerConfig, prefix: &str) -> Result<Self, LegacyError> {
        let prefix = checked(prefix)?;
        let replace = Script::new(include_str!("documents/scripts/replace.lua"));
        Ok(Self { server: Arc::new(Server::connect(config).await?), prefix, replace })
    }

    /// The prefix of all keys of documents. Its braces put them in one slot of a cluster.
    fn base(&self) -> String {
        format!("{{{}}}:document:", self.prefix)
    }

    /// No key contains `::`, by which Atlantis' statuses are found.
    fn key(&self, name: &str) -> String {
        self.base() + &name.replace('%', "%25").replace(':', "%3A")
    }
}

fn checked(prefix: &str) -> Result<String, InvalidInput> {
    let limit = RedisDocuments::MAX_PREFIX_BYTES;
    let invalid = |problem| Err(InvalidInput::new("prefix", problem));
    match prefix.len() {
        0 => return invalid(Violation::Empty { limit }),
        length if length > limit => return invalid(Violation::TooLong { length, limit }),
        _ => {}
    }
    let is_bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '{' | '}' | ':');
    if prefix.starts_with("pr") || prefix.chars().any(is_bad) {
        let expected = "a word without colons, braces and spaces that does not begin with pr";
        return invalid(Violation::Malformed { expected });
    }
    Ok(prefix.to_owned())
}

/// The revision and the body of a stored document.
fn read(key: &str, bytes: &[u8]) -> Result<Document> {
    let (revision, body) = bytes
        .split_first_chunk::<8>()
        .ok_or_else(|| DocumentError::damaged(key, "it is shorter than a revision"))?;
    Ok(Document::new(Revision::new(u64::from_be_bytes(*revision)), body.to_vec()))
}

/// Converts a server's error into a document error.
fn of_documents(error: LegacyError) -> DocumentError {
    match error {
        LegacyError::Damaged(Damaged { key, reason, .. }) => DocumentError::damaged(key, reason),
        LegacyError::Store { unknown, source } => DocumentError::failed(unknown, source),
        error => DocumentError::failed(error.is_unknown(), error),
    }
}

#[async_trait]
impl DocumentStore for RedisDocuments {
    async fn read(&self, name: &str) -> Result<Option<Document>> {
        let key = self.key(name);
        let stored = self.server.get(&key).await.map_err(of_documents)?;
        stored.map(|bytes| read(&key, &bytes)).transpose()
    }

    async fn replace(
        &self,
        name: &str,
        expected: Option<Revision>,
        body: Option<&[u8]>,
    ) -> Result<Replacement> {
        let key = self.key(name);
        let mut call = self.replace.prepare_invoke();
        call.key(&key).key(format!("{{{}}}:revision", self.prefix));
        match expected {
            Some(revision) => call.arg(&revision.get().to_be_bytes()[..]),
            None => call.arg(""),
        };
        call.arg(body.unwrap_or_default()).arg(u8::from(body.is_some()));
        let answer = self.server.call(&call).await;
        let is_done: bool = answer.map_err(|error| of_documents(named(error, &key)))?;
        Ok(if is_done { Replacement::Done } else { Replacement::Changed })
    }

    async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let base = self.base();
        let keys = self.server.keys(&(plain(&self.key(prefix)) + "*")).await;
        let name = |key: Vec<u8>| {
            let key = String::from_utf8(key).ok()?;
            Some(key.strip_prefix(&base)?.replace("%3A", ":").replace("%25", "%"))
        };
        Ok(keys.map_err(of_documents)?.into_iter().filter_map(name).collect())
    }
}
