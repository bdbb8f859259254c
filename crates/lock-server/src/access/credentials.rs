//! The `Authorization` of a request.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::problem::Problem;

/// The secret that a request carries: `Bearer SECRET`, or the password of basic authentication, whose
/// user name is free.
pub(super) fn secret(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let secret = text.and_then(|text| {
        let (scheme, rest) = text.split_once(' ')?;
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Some(rest.trim().as_bytes().to_vec()),
            "basic" => {
                let pair = STANDARD.decode(rest.trim()).ok()?;
                let colon = pair.iter().position(|&byte| byte == b':')?;
                Some(pair[colon + 1..].to_vec())
            }
            _ => None,
        }
    });
    let detail = "`Authorization` is neither `Bearer TOKEN` nor basic authentication";
    secret.map(Some).ok_or_else(|| Problem::unauthenticated(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<Vec<u8>>, u16> {
        let values = values.iter().map(|value| (header::AUTHORIZATION, value.parse().unwrap()));
        secret(&values.collect()).map_err(|problem| problem.status)
    }

    #[test]
    fn secret_is_read_from_both_schemes_and_nothing_else() {
        assert_eq!(read(&[]), Ok(None));
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for value in ["Bearer abc", "bearer  abc ", &basic("any:abc"), &basic(":abc")] {
            assert_eq!(read(&[value]), Ok(Some(b"abc".to_vec())), "{value}");
        }
        assert_eq!(read(&[&basic("a:b:c")]), Ok(Some(b"b:c".to_vec())));
        for value in ["", "abc", "Digest abc", "Basic abc", "Basic !", &basic("abc")] {
            assert_eq!(read(&[value]), Err(401), "{value}");
        }
        // Which of two is meant is not guessed.
        assert_eq!(read(&["Bearer a", "Bearer b"]), Err(401));
    }
}
