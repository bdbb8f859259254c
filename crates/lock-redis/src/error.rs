//! What the driver's errors mean.

use std::time::Duration;

use lock_core::{Error, ErrorKind, InvalidInput, Operation, Violation};
use redis::{RedisError, ServerErrorKind};

/// The server is not reached, so nothing was sent.
pub(crate) fn unreachable(operation: Operation, cause: Option<String>) -> Error {
    let cause = cause.unwrap_or_else(|| "not connected yet".to_owned());
    Error::new(ErrorKind::Unavailable, operation).with_source(cause)
}

/// No answer within `limit` to a command that was sent.
pub(crate) fn no_answer(operation: Operation, limit: Duration) -> Error {
    unreachable(operation, Some(format!("no answer within {limit:?}"))).unknown()
}

/// An answer that the scripts do not give.
pub(crate) fn corrupt(operation: Operation) -> Error {
    Error::new(ErrorKind::Corrupt, operation).unknown().with_source("an answer of no known form")
}

/// Something failed after it was sent.
pub(crate) fn failed(operation: Operation, error: &RedisError) -> Error {
    let said = said(error);
    match error.kind() {
        redis::ErrorKind::Server(kind) if is_refusal(kind) => {
            Error::new(ErrorKind::Unavailable, operation).with_source(said)
        }
        // The library was dropped, too soon again after it was loaded.
        _ if is_unknown_script(error) => {
            Error::new(ErrorKind::Unavailable, operation).with_source(said)
        }
        redis::ErrorKind::AuthenticationFailed => {
            Error::new(ErrorKind::Unavailable, operation).with_source(said)
        }
        _ if matches!(
            error.code(),
            Some("OOM" | "MISCONF" | "BUSY" | "NOREPLICAS" | "NOAUTH" | "WRONGPASS")
        ) =>
        {
            Error::new(ErrorKind::Unavailable, operation).with_source(said)
        }
        _ if refuses_all_writes(error) => {
            Error::new(ErrorKind::Unavailable, operation).with_source(said)
        }
        _ if said.contains("WRONGTYPE") || is_stumble(error) => {
            Error::new(ErrorKind::Corrupt, operation).unknown().with_source(said)
        }
        _ => Error::new(ErrorKind::Unavailable, operation).unknown().with_source(said),
    }
}

/// Whether the server certainly did not execute what it answers so.
const fn is_refusal(kind: ServerErrorKind) -> bool {
    matches!(
        kind,
        ServerErrorKind::BusyLoading
            | ServerErrorKind::NoScript
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::CrossSlot
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::NoPerm
    )
}

/// Whether the server does not know the command that was called.
pub(crate) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript)
        || error.detail().is_some_and(|detail| detail.contains("Function not found"))
}

/// Whether a script fails by itself, over what it has read: the error begins with the place in it.
fn is_stumble(error: &RedisError) -> bool {
    let detail = error.detail().unwrap_or_default();
    // A server before version 7 says first that it is about a script.
    ["user_script:", "user_function:"].iter().any(|place| detail.starts_with(place))
        || detail.contains(": user_script:")
}

/// Whether the server writes nothing at all now. A server before version 7 says so only when a
/// script comes to its first write.
fn refuses_all_writes(error: &RedisError) -> bool {
    let detail = error.detail().unwrap_or_default();
    [": -READONLY ", ": -MISCONF "].iter().any(|refusal| detail.contains(refusal))
}

/// What the driver says, which names no password.
pub(crate) fn said(error: &RedisError) -> String {
    error.to_string()
}

/// A cursor that this store did not write.
pub(crate) fn foreign_cursor(operation: Operation) -> Error {
    let violation = Violation::Malformed { expected: "a cursor of this store" };
    Error::invalid(operation, InvalidInput::new("cursor", violation))
}
