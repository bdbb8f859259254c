//! Metadata of the lease of a lock: the exact bytes of the lock, and its author.

use std::borrow::Cow;

use lock_core::{InvalidInput, Lease, Metadata};

use crate::legacy::{Damaged, ProjectLock, Stored, encode};

/// The name of a [`ProjectLock`] in the metadata of its lease.
const LOCK: &str = "lock";
/// The name of the description of the pull request, where the lock is too large with it in JSON.
const BODY: &str = "body";
/// The name of the metadata entry for the pull request's author, for watchers.
pub(super) const AUTHOR: &str = "author";
/// The description in a lock whose description is carried beside it.
const NO_BODY: &str = r#""Body":"""#;

/// Metadata of the lease of a lock.
///
/// The description is the one part of a lock that may be large, and some of its characters take six
/// bytes in JSON. Where the whole is too large, the description is carried beside it as it is.
///
/// # Errors
/// [`InvalidInput`] when that is too large as well.
pub(super) fn metadata(stored: &Stored<ProjectLock>) -> Result<Metadata, InvalidInput> {
    let bytes = stored.encode();
    // JSON is UTF-8.
    let text = String::from_utf8_lossy(&bytes);
    let pull = &stored.value().pull;
    let author = (AUTHOR, pull.author.as_str());
    let whole = Metadata::parse([(LOCK, &*text), author]);
    whole.or_else(|too_large| {
        let body = pull.body.as_deref().unwrap_or_default();
        match without(&text, body) {
            Some(lock) => Metadata::parse([(LOCK, &*lock), (BODY, body), author]),
            None => Err(too_large),
        }
    })
}

/// The lock that a lease carries.
///
/// # Errors
/// [`Damaged`] when it carries no lock, or one that cannot be read.
pub(super) fn read(lease: &Lease) -> Result<Stored<ProjectLock>, Damaged> {
    match text(lease) {
        Some(text) => Stored::read(lease.key.as_str(), text.as_bytes()),
        None => Err(Damaged::new(lease.key.as_str(), "the lease carries no project lock")),
    }
}

/// The JSON of the lock that a lease carries, readable or not.
pub(super) fn text(lease: &Lease) -> Option<Cow<'_, str>> {
    let lock = lease.metadata.get(LOCK)?;
    Some(match lease.metadata.get(BODY) {
        Some(body) => Cow::Owned(with(lock, body)),
        None => Cow::Borrowed(lock),
    })
}

/// The lock without its description; `None` where [`with`] would not make the same of it again.
fn without(lock: &str, body: &str) -> Option<String> {
    let bare = lock.replacen(&*field(body), NO_BODY, 1);
    (with(&bare, body) == lock).then_some(bare)
}

fn with(lock: &str, body: &str) -> String {
    lock.replacen(NO_BODY, &field(body), 1)
}

fn field(body: &str) -> String {
    let text = encode(&body);
    format!(r#""Body":{}"#, String::from_utf8_lossy(&text))
}
