//! The terms of a request, as one text that the server keeps.

use std::num::NonZeroU32;
use std::time::Duration;

use lock_core::{AcquireRequest, LockKey, Metadata, Mode, OwnerId, RequestId, Ttl};

/// What a request asked for and a lease keeps.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) mode: Mode,
    pub(crate) ttl: Ttl,
    pub(crate) owner: OwnerId,
    pub(crate) metadata: Metadata,
}

impl Terms {
    pub(crate) fn of(asked: &AcquireRequest) -> Self {
        let (owner, metadata) = (asked.owner.clone(), asked.metadata.clone());
        Self { mode: asked.mode, ttl: asked.ttl, owner, metadata }
    }

    /// The request that would ask for these terms.
    pub(crate) fn asked(self, key: LockKey, request: RequestId) -> AcquireRequest {
        AcquireRequest::new(request, key, self.owner)
            .with_mode(self.mode)
            .with_ttl(self.ttl)
            .with_metadata(self.metadata)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (mode, rest) = split_word(bytes)?;
        let (ttl, rest) = split_word(rest)?;
        let (owner, rest) = split_counted(rest)?;
        let owner = OwnerId::parse(str::from_utf8(owner).ok()?).ok()?;
        let metadata = parse_metadata(rest)?;
        Some(Self { mode: parse_mode(mode)?, ttl: parse_ttl(ttl)?, owner, metadata })
    }
}

/// Writes terms as `prelude.lua` describes them.
pub(crate) fn write(asked: &AcquireRequest) -> Vec<u8> {
    let mut text = Vec::with_capacity(64);
    text.extend_from_slice(mode_word(asked.mode).as_bytes());
    text.push(b' ');
    text.extend_from_slice(ttl_millis(asked.ttl).to_string().as_bytes());
    text.push(b' ');
    push_counted(&mut text, asked.owner.as_str());
    text.extend_from_slice(&write_metadata(&asked.metadata));
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

fn push_counted(text: &mut Vec<u8>, part: &str) {
    text.extend_from_slice(part.len().to_string().as_bytes());
    text.push(b' ');
    text.extend_from_slice(part.as_bytes());
}

fn split_word(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b' ')?;
    Some((str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

fn split_counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = split_word(bytes)?;
    rest.split_at_checked(length.parse().ok()?)
}

pub(crate) fn mode_word(mode: Mode) -> String {
    match mode {
        Mode::Exclusive => "x".to_owned(),
        Mode::Shared { limit: None } => "r".to_owned(),
        Mode::Shared { limit: Some(limit) } => limit.to_string(),
    }
}

fn parse_mode(word: &str) -> Option<Mode> {
    match word {
        "x" => Some(Mode::Exclusive),
        "r" => Some(Mode::READER),
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
