//! Conversion of driver errors.

use std::time::Duration;

use lock_core::{Error, ErrorKind, InvalidInput, Operation, Violation};
use lock_redis_client::is_refusal;
use redis::RedisError;

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
    Error::new(ErrorKind::Corrupt, operation).unknown().with_source("unexpected form of reply")
}

/// Something failed after it was sent. The word that an error begins with says what it means: the
/// server's, or one of the scripts.
pub(crate) fn failed(operation: Operation, error: &RedisError) -> Error {
    let failed = |kind| Error::new(kind, operation).with_source(said(error));
    match error.code() {
        // A script may have written before it met the key of another type.
        Some("CORRUPT" | "WRONGTYPE") => failed(ErrorKind::Corrupt).unknown(),
        Some("LAYOUT") => failed(ErrorKind::Unsupported),
        Some(word) if REFUSALS.contains(&word) => failed(ErrorKind::Unavailable),
        _ if is_refusal(error) => failed(ErrorKind::Unavailable),
        _ => failed(ErrorKind::Unavailable).unknown(),
    }
}

/// Error codes of scripts that granted nothing or only dropped expired entries. They are not server
/// codes.
const REFUSALS: [&str; 2] = [TOKEN_MISSING, "SPENT"];

/// Error code of a script that found the last token missing.
const TOKEN_MISSING: &str = "NOTOKEN";

pub(crate) fn is_token_missing(error: &RedisError) -> bool {
    error.code() == Some(TOKEN_MISSING)
}

/// Message of a driver error, without passwords.
pub(crate) fn said(error: &RedisError) -> String {
    error.to_string()
}

/// A cursor that this store did not write.
pub(crate) fn foreign_cursor(operation: Operation) -> Error {
    let violation = Violation::Malformed { expected: "a cursor of this store" };
    Error::invalid(operation, InvalidInput::new("cursor", violation))
}
