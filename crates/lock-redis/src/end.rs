//! Encoding of the end of a request, as stored on the server.

use lock_core::{End, EvictRequest, OwnerId, Reason};

use crate::encoding::{push_counted, split_counted};

/// Writes the ending of an eviction as `prelude.lua` describes it.
pub(crate) fn write_evicted(request: &EvictRequest) -> Vec<u8> {
    let mut text = vec![b'e'];
    push_counted(&mut text, request.by.as_str());
    text.extend_from_slice(request.reason.as_str().as_bytes());
    text
}

/// Writes the ending of a transfer up to the receiver, whom only the server knows.
pub(crate) fn write_transferred(by: &OwnerId) -> Vec<u8> {
    let mut text = vec![b't'];
    push_counted(&mut text, by.as_str());
    text
}

/// Reads an ending as `prelude.lua` describes it.
pub(crate) fn parse(text: &[u8]) -> Option<End> {
    let (kind, rest) = text.split_first()?;
    if *kind == b'c' {
        return rest.is_empty().then_some(End::Cancelled);
    }
    let (by, rest) = split_counted(rest)?;
    let by = OwnerId::parse(str::from_utf8(by).ok()?).ok()?;
    let rest = str::from_utf8(rest).ok()?;
    match kind {
        b'e' => Some(End::Evicted { by, reason: Reason::parse(rest).ok()? }),
        b't' => Some(End::Transferred { by, to: OwnerId::parse(rest).ok()? }),
        _ => None,
    }
}
