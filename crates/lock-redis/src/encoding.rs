//! Encoding of the terms of a request, as stored on the server.

use std::num::NonZeroU32;
use std::time::Duration;

use lock_core::{
    AcquireRequest, FencingToken, LockKey, Metadata, Mode, OwnerId, RequestId, SessionId, Ttl,
};

/// Terms of a request that are kept in its lease.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) mode: Mode,
    pub(crate) ttl: Ttl,
    /// `None` is a session of its own.
    session: Option<SessionId>,
    pub(crate) owner: OwnerId,
    metadata: Metadata,
}

impl Terms {
    /// The session of `request`, which has these terms.
    pub(crate) fn session(&self, request: RequestId) -> SessionId {
        self.session.unwrap_or_else(|| request.into())
    }

    /// The request `id` for `key` with these terms.
    pub(crate) fn request(self, key: LockKey, id: RequestId) -> AcquireRequest {
        let session = self.session(id);
        AcquireRequest::new(id, key, self.owner)
            .with_session(session)
            .with_mode(self.mode)
            .with_ttl(self.ttl)
            .with_metadata(self.metadata)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (mode, rest) = split_word(bytes)?;
        let (ttl, rest) = split_word(rest)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (length, rest) = rest.split_at_checked(digits)?;
        let (session, rest) = match rest.split_first()? {
            (b' ', rest) => (None, rest),
            (b'+', rest) => {
                let (session, rest) = rest.split_first_chunk()?;
                (Some(SessionId::from_bits(u128::from_be_bytes(*session))), rest)
            }
            _ => return None,
        };
        let (owner, rest) = rest.split_at_checked(str::from_utf8(length).ok()?.parse().ok()?)?;
        let owner = OwnerId::parse(str::from_utf8(owner).ok()?).ok()?;
        let metadata = parse_metadata(rest)?;
        let (mode, ttl) = (parse_mode(mode)?, parse_ttl(ttl)?);
        Some(Self { mode, ttl, session, owner, metadata })
    }
}

/// Writes the terms of a request as `prelude.lua` describes them.
pub(crate) fn write(request: &AcquireRequest) -> Vec<u8> {
    let mut text = Vec::with_capacity(64);
    let (mode, ttl) = (mode_word(request.mode), ttl_millis(request.ttl));
    let owner = request.owner.as_str();
    text.extend_from_slice(format!("{mode} {ttl} {}", owner.len()).as_bytes());
    if request.session == request.id.into() {
        text.push(b' ');
    } else {
        text.push(b'+');
        text.extend_from_slice(&request.session.to_bits().to_be_bytes());
    }
    text.extend_from_slice(owner.as_bytes());
    text.extend_from_slice(&write_metadata(&request.metadata));
    text
}

/// Names and texts in turn, each after its length.
pub(crate) fn write_metadata(metadata: &Metadata) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in metadata.iter() {
        push_counted(&mut text, name);
        push_counted(&mut text, value);
    }
    text
}

fn parse_metadata(mut bytes: &[u8]) -> Option<Metadata> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (name, rest) = split_counted(bytes)?;
        let (value, rest) = split_counted(rest)?;
        entries.push((str::from_utf8(name).ok()?, str::from_utf8(value).ok()?));
        bytes = rest;
    }
    Metadata::parse(entries).ok()
}

/// Writes a text after its length.
pub(crate) fn push_counted(text: &mut Vec<u8>, part: &str) {
    text.extend_from_slice(part.len().to_string().as_bytes());
    text.push(b' ');
    text.extend_from_slice(part.as_bytes());
}

/// Splits off a word that a space follows.
pub(crate) fn split_word(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b' ')?;
    Some((str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

/// Splits off a text that follows its length.
pub(crate) fn split_counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = split_word(bytes)?;
    rest.split_at_checked(length.parse().ok()?)
}

pub(crate) fn mode_word(mode: Mode) -> String {
    match mode {
        Mode::Exclusive => "x".to_owned(),
        Mode::Shared { limit: None } => "r".to_owned(),
        Mode::Shared { limit: Some(limit) } => limit.to_string(),
        Mode::Upgrade { request, token } => format!("u{request}.{token}"),
    }
}

fn parse_mode(word: &str) -> Option<Mode> {
    match word {
        "x" => Some(Mode::Exclusive),
        "r" => Some(Mode::READER),
        upgrade if upgrade.starts_with('u') => {
            let (request, token) = upgrade.strip_prefix('u')?.split_once('.')?;
            let token = FencingToken::new(token.parse().ok()?)?;
            Some(Mode::Upgrade { request: RequestId::parse(request).ok()?, token })
        }
        limit => Some(Mode::Shared { limit: Some(limit.parse::<NonZeroU32>().ok()?) }),
    }
}

/// Whole milliseconds of a ttl; 0 is never.
pub(crate) fn ttl_millis(ttl: Ttl) -> u64 {
    ttl.span().map_or(0, millis)
}

fn parse_ttl(word: &str) -> Option<Ttl> {
    match word.parse().ok()? {
        0 => Some(Ttl::Never),
        millis => Ttl::parse(Duration::from_millis(millis)).ok(),
    }
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
