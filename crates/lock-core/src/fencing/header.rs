//! The token in a header of HTTP.

use crate::FencingToken;

/// Name of the header with the token of a request that writes.
pub const HEADER: &str = "fencing-token";

/// A request without a usable token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// There is no header: 428 Precondition Required.
    #[error("the header fencing-token is missing")]
    Missing,
    /// The header is not a token in decimal digits: 400 Bad Request.
    #[error("the header fencing-token is not a positive number in decimal digits")]
    Malformed,
}

/// Reads the value of the header.
///
/// # Errors
/// [`HeaderError`] when it is missing, or not a positive number in decimal digits.
pub fn from_header(value: Option<&str>) -> Result<FencingToken, HeaderError> {
    let value = value.ok_or(HeaderError::Missing)?;
    // `parse` alone would take a sign.
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|_| is_plain);
    number.and_then(FencingToken::new).ok_or(HeaderError::Malformed)
}
